"""Files that appear in a folder, each once it is whole."""

import errno
import hashlib
import logging
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
        scanned = -RESCAN
        for changed in _events(self._folder):
            if _identity(self._folder) != folder:
                return
            # the first look comes after the watch has begun, so that nothing falls between
            if time.monotonic() - scanned >= RESCAN:
                changed |= set(list_images(self._folder).images)
                scanned = time.monotonic()
            yield self.look(changed)
            while self._queue and not stop.made:
                yield self._read_next()
            if stop.made:
                return

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


def _events(folder: Path) -> Iterator[set[Path]]:
    """Yields files that came or changed, as soon as the system tells, and else nothing, often."""
    try:
        yield from _changes(folder, look_often=None)
    except OSError as error:
        if _identity(folder) is None:
            return
        # inotify's watches and instances are counted for each user
        logger.warning(
            "Warning: the system tells of no changes (%s); the folder is looked at often instead",
            error,
        )
        yield from _changes(folder, look_often=True)


def _changes(folder: Path, *, look_often: bool | None) -> Iterator[set[Path]]:
    for changes in watch(
        folder,
        watch_filter=None,
        debounce=DEBOUNCE,
        step=STEP,
        rust_timeout=TIMEOUT,
        yield_on_timeout=True,
        raise_interrupt=False,
        force_polling=look_often,
        ignore_permission_denied=True,
    ):
        yield {Path(path) for change, path in changes if change != Change.deleted}


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
