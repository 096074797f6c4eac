"""Files that appear in a folder, each once it is whole."""

import errno
import hashlib
import logging
import math
import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor
from watchfiles import Change, watch

from paecli.data.images.files import read_image
from paecli.data.images.listing import image_endings, list_images
from paecli.data.images.opening import MemoryFile
from paecli.system.errors import ImageError
from paecli.system.outputs import is_own_picture
from paecli.watching.journal import Journal, Stamp

SETTLE = 0.02  # seconds in which a whole file does not change
PATIENCE = 2.0  # seconds after which a file that stays unreadable is reported so
RESCAN = 30.0  # seconds between looks at the whole folder, for what no event told of
OFTEN = 1.0  # seconds between them where events are not told of
LATE = 2.0  # seconds in which an event would have been told
SHARE = 0.1  # of the time that such looks may take
RETRY = 60.0  # seconds after which a system that failed is asked for events again
AT_ONCE = 64  # files that are read before the first of them is answered, or the end asked for
MOST_BYTES = 1 << 30  # of a file
# milliseconds: how long events are gathered, and how often the end is asked for
DEBOUNCE, STEP, TIMEOUT = 20, 5, 200

logger = logging.getLogger(__name__)


class Stop(Protocol):
    """Tells whether to end."""

    @property
    def made(self) -> bool:
        """Whether somebody asked for it."""


@dataclass(frozen=True, eq=False)
class Arrival:
    """A file that is whole.

    Attributes:
        path: where it is.
        stamp: its state.
        sha256: of its content.
        pixels: `(c, h, w)` float in [0, 1], of the model's shape; None if it is unreadable.
        error: why.
    """

    path: Path
    stamp: Stamp
    sha256: str
    pixels: Tensor | None
    error: str = ""


class Arrivals:
    """Finds files that the journal has no answer to, and waits until they are whole.

    A file is whole when it has not changed for 20 ms and can be decoded. One that cannot be is
    tried again whenever it changes, and given up after 2 s without a change. A file that changes
    after it was answered is answered again.
    """

    def __init__(self, folder: Path, journal: Journal, image_shape: tuple[int, int, int]) -> None:
        """Takes the folder to watch, with all below it."""
        self._folder = folder
        self._journal = journal
        self._shape = image_shape
        self._pending: dict[Path, tuple[Stamp, float]] = {}
        self._queue: list[Path] = []  # seen, not read yet

    def rounds(self, stop: Stop) -> Iterator[list[Arrival]]:
        """Yields what has arrived, a list at a time, empty ones among them, until `stop`.

        A folder that is removed is waited for, as is a disk that comes and goes.
        """
        while not stop.made:
            folder = _identity(self._folder)
            if folder is None:
                yield []
                time.sleep(TIMEOUT / 1000)
            else:
                yield from self._rounds_of(folder, stop)

    def _rounds_of(self, folder: tuple[int, int], stop: Stop) -> Iterator[list[Arrival]]:
        """Yields rounds while the folder stays the same one: events are told of that alone."""
        looks = _Looks()
        for changes in _events(self._folder, looks):
            if _identity(self._folder) != folder:
                return
            came = {path for change, path in changes if change != Change.deleted}
            if any(path.is_dir() for change, path in changes if change == Change.added):
                looks.soon()  # of what is in it already no event tells
            # the first look comes after the watch has begun, so that nothing falls between
            if looks.due:
                listed = looks.at(self._folder)
                if not looks.first and any(map(self._is_late, listed - came)):
                    looks.often(f"some changes in {self._folder} are not told of by the system")
                came |= listed
            yield self.look(came)
            while self._queue and not stop.made:
                yield self._read_next()
            if stop.made:
                return

    def _is_late(self, path: Path) -> bool:
        """Tells whether a file came a while ago, and nobody has told of it."""
        if path in self._pending or self._new(path) is None:
            return False
        try:
            return time.time() - path.stat().st_ctime > LATE
        except OSError:
            return False

    @property
    def waiting(self) -> int:
        """How many files are not whole yet, or not read."""
        return len(self._pending) + len(self._queue)

    def look(self, paths: Iterable[Path]) -> list[Arrival]:
        """Returns those files that are whole and have no answer yet, oldest first.

        Of many, the first `AT_ONCE`; the others are read when it is called again.
        """
        seen = self._stamps({*paths, *self._pending} - set(self._queue))
        self._queue += sorted(seen, key=lambda path: (seen[path].mtime_ns, path))
        return self._read_next()

    def _stamps(self, paths: Iterable[Path]) -> dict[Path, Stamp]:
        """Returns the states of files without an answer, and forgets those that are gone."""
        seen = {}
        for path in paths:
            stamp = self._new(path)
            if stamp is None:
                self._pending.pop(path, None)
            else:
                seen[path] = stamp
        return seen

    def _read_next(self) -> list[Arrival]:
        ordered, self._queue = self._queue[:AT_ONCE], self._queue[AT_ONCE:]
        seen = self._stamps(ordered)
        if seen:
            time.sleep(SETTLE)
        found = []
        for path, stamp in seen.items():
            arrival = self._open(path, stamp)
            if arrival is not None:
                self._pending.pop(path, None)
                found.append(arrival)
        return found

    def _new(self, path: Path) -> Stamp | None:
        """Returns the state of an image file without an answer; None for all others."""
        hidden = any(part.startswith(".") for part in path.relative_to(self._folder).parts)
        if hidden or path.suffix.lower() not in image_endings():
            return None
        try:
            stamp = Stamp.of(path)
            regular = path.is_file()
        except OSError:
            return None
        return stamp if regular and not self._journal.knows(path, stamp) else None

    def _open(self, path: Path, stamp: Stamp) -> Arrival | None:
        """Reads a file; None if it is not whole, was answered before, or is gone."""
        try:
            content, read = _read(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            return self._wait(path, stamp, f"cannot read {path}: {error.strerror}", "")
        if read != stamp:
            return self._wait(path, None, "", "")
        sha256 = hashlib.sha256(content).hexdigest()
        if self._journal.knows_content(path, sha256, stamp) or is_own_picture(path):
            return None
        try:
            pixels = read_image(MemoryFile(str(path), content), image_shape=self._shape).pixels
        except ImageError as error:
            return self._wait(path, stamp, str(error), sha256)
        return Arrival(path, stamp, sha256, pixels)

    def _wait(self, path: Path, stamp: Stamp | None, error: str, sha256: str) -> Arrival | None:
        """Puts a file aside, or gives it up if it has been unreadable for long."""
        now = time.monotonic()
        if stamp is None:  # it is being written
            self._pending[path] = (Stamp(0, 0, 0), now)
            return None
        known, since = self._pending.get(path, (None, now))
        if known != stamp:
            self._pending[path] = (stamp, now)
            return None
        return Arrival(path, stamp, sha256, None, error) if now - since >= PATIENCE else None


def _identity(folder: Path) -> tuple[int, int] | None:
    """Returns which folder of which disk this is; None while there is none."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


class _Looks:
    """When the whole folder is looked at: seldom while events tell of changes, else often."""

    def __init__(self) -> None:
        """Is due at once."""
        self.first = False
        self._every = RESCAN
        self._next = self._soonest = -math.inf

    @property
    def due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self._next

    def at(self, folder: Path) -> set[Path]:
        """Returns the images of a folder."""
        self.first = self._next == -math.inf
        began = time.monotonic()
        images = set(list_images(folder).images)
        ended = time.monotonic()
        self._soonest = ended + (ended - began) / SHARE
        self._next = max(self._soonest, ended + self._every)
        return images

    def soon(self) -> None:
        """Asks for the next look before its time."""
        self._next = min(self._next, self._soonest)

    def often(self, reason: str) -> None:
        """Asks for many looks from now on, and says so once."""
        if self._every != OFTEN:
            logger.warning("Warning: %s: the whole folder is looked at every second", reason)
        self._every = OFTEN
        self._next = min(self._next, max(self._soonest, time.monotonic() + OFTEN))


def _events(folder: Path, looks: _Looks) -> Iterator[set[tuple[Change, Path]]]:
    """Yields what came, changed or went, as soon as the system tells, and else nothing, often."""
    while True:
        try:
            for changes in watch(
                folder,
                watch_filter=None,
                debounce=DEBOUNCE,
                step=STEP,
                rust_timeout=TIMEOUT,
                yield_on_timeout=True,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                yield {(change, Path(path)) for change, path in changes}
            return  # interrupted
        except (OSError, RuntimeError) as error:
            # inotify's watches are used up, which are counted for each user; a name is not UTF-8
            looks.often(f"the system tells of no changes ({error})")
        again = time.monotonic() + RETRY
        while time.monotonic() < again:
            yield set()
            time.sleep(TIMEOUT / 1000)


def _read(path: Path) -> tuple[bytes, Stamp | None]:
    """Returns the content of a regular file, and its state if that stayed the same meanwhile.

    Raises:
        OSError: it is gone, cannot be read, is too large, or no regular file any more.
    """
    # a pipe that took its place would be waited for
    flags = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # each on some systems
    handle = os.open(path, os.O_RDONLY | flags)
    with os.fdopen(handle, "rb") as file:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if before.st_size > MOST_BYTES:
            raise OSError(errno.EFBIG, f"it has more than {MOST_BYTES >> 30} GB")
        content = file.read()
        same = Stamp.of_status(before) == Stamp.of_status(os.fstat(handle))
    return content, Stamp.of_status(before) if same else None
