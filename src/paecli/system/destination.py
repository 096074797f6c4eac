"""Where an output goes: links followed, pipes and devices told from files, `-` understood."""

import errno
import os
import re
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

STANDARD_OUTPUT = Path("/dev/stdout")  # what `-` stands for; known by its name on every system
STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
OPEN_FILES = re.compile(r"/dev/fd|/proc/(\d+)/(?:task/\d+/)?fd")  # folders of descriptors
MOST_LINKS = 40  # that are followed in a row, as Linux does


@dataclass(frozen=True)
class Destination:
    """What stands at the end of a path.

    Attributes:
        path: behind all links.
        descriptor: number of the open file of this process that the path names, or None.
        replaceable: whether a new file may take its place: a regular file, or nothing yet.
            Pipes, devices and open files can only be written into.
    """

    path: Path
    descriptor: int | None
    replaceable: bool

    def write_from(self, source: Path) -> None:
        """Writes the content of `source` into what is there; a pipe waits for its reader.

        Raises:
            OSError: it cannot be written.
        """
        with source.open("rb") as content:
            if self.descriptor == STANDARD[str(STANDARD_OUTPUT)]:
                if sys.stdout is None:
                    raise OSError(errno.EBADF, os.strerror(errno.EBADF))
                sys.stdout.flush()  # what was printed before stays before
                shutil.copyfileobj(content, sys.stdout.buffer)
                sys.stdout.buffer.flush()
                return
            # a second descriptor of the same open file: it goes on where that one stands
            opened = self.path if self.descriptor is None else os.dup(self.descriptor)
            with open(opened, "wb") as target:  # noqa: PTH123 - a number has no Path
                shutil.copyfileobj(content, target)


def follow(path: Path) -> Destination:
    """Finds what stands at the end of a path.

    `/dev/stdout`, `/dev/fd/N` and links to them name open files. Those are never reopened: that
    would begin at their start, and a file that a shell redirects to would be overwritten.

    Raises:
        OSError: links in a circle, or a folder that may not be read.
    """
    place = Path.cwd() / path
    for _ in range(MOST_LINKS):
        folder = os.path.realpath(place.parent)
        place = Path(folder) / place.name
        descriptor = _descriptor(place)
        if descriptor is not None:
            return Destination(place, descriptor, replaceable=False)
        # another process's open file looks like a link, but what it names may have no path
        if not place.is_symlink() or OPEN_FILES.fullmatch(folder):
            return Destination(place, None, replaceable=_is_replaceable(place))
        place = place.parent / place.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _descriptor(place: Path) -> int | None:
    """Returns the number of this process's open file that a path names, or None."""
    if str(place) in STANDARD:
        return STANDARD[str(place)]
    folder = OPEN_FILES.fullmatch(str(place.parent))
    if folder is None or not place.name.isdecimal() or folder[1] not in (None, str(os.getpid())):
        return None
    return int(place.name)


def _is_replaceable(place: Path) -> bool:
    try:
        return stat.S_ISREG(place.stat().st_mode) and not OPEN_FILES.fullmatch(str(place.parent))
    except FileNotFoundError:
        return True
