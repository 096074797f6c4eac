"""Files that appear in a folder, each once it is whole."""

import errno
import hashlib
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
MOST_BYTES = 1 << 30  # of a file
# milliseconds: how long events are gathered, and how often the end is asked for
DEBOUNCE, STEP, TIMEOUT = 20, 5, 200


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

    def rounds(self, stop: Stop) -> Iterator[list[Arrival]]:
        """Yields what has arrived, a list at a time, empty ones among them, until `stop`."""
        scanned = -RESCAN
        for changes in watch(
            self._folder,
            watch_filter=None,
            debounce=DEBOUNCE,
            step=STEP,
            rust_timeout=TIMEOUT,
            yield_on_timeout=True,
            raise_interrupt=False,
            ignore_permission_denied=True,
        ):
            paths = {Path(path) for change, path in changes if change != Change.deleted}
            # the first look comes after the watch has begun, so that nothing falls between
            if time.monotonic() - scanned >= RESCAN:
                paths |= set(list_images(self._folder).images)
                scanned = time.monotonic()
            yield self.look(paths)
            if stop.made:
                return

    @property
    def waiting(self) -> int:
        """How many files are not whole yet."""
        return len(self._pending)

    def look(self, paths: Iterable[Path]) -> list[Arrival]:
        """Returns those files that are whole and have no answer yet, oldest first."""
        seen = {path: stamp for path in {*paths, *self._pending} if (stamp := self._new(path))}
        for path in self._pending.keys() - seen.keys():
            del self._pending[path]  # gone, or renamed
        if seen:
            time.sleep(SETTLE)
        ordered = sorted(seen, key=lambda path: (seen[path].mtime_ns, path))
        found = []
        for path in ordered:
            arrival = self._open(path, seen[path])
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
