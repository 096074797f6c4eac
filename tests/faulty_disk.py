"""A disk that is full when a file is written to for the n-th time."""

import builtins
import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class FullDisk:
    """Counts the files that are opened to be written, and fails in the one that is asked for.

    Attributes:
        opened: how many were opened so far.
        fails_at: number of the one whose first byte does not fit, from 1; 0 is none.
    """

    def __init__(self, fails_at: int) -> None:
        self.opened = 0
        self.fails_at = fails_at

    def open(self, file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        opened = REAL_OPEN(file, mode, *rest, **options)
        if not set(mode) & set("wax+"):
            return opened
        self.opened += 1
        return FullFile(opened) if self.opened == self.fails_at else opened


REAL_OPEN = io.open


class FullFile:
    """A file that takes no byte, neither by `write` nor by its descriptor."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def write(self, content: Any) -> int:
        del content
        raise OSError(errno.ENOSPC, "No space left on device")

    def fileno(self) -> int:
        return self.write(b"")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> "FullFile":
        return self

    def __exit__(self, *raised: object) -> None:
        self.file.close()


@contextmanager
def full_disk_at(fails_at: int) -> Iterator[FullDisk]:
    """Puts such a disk under everything that Python opens."""
    disk = FullDisk(fails_at)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io, "open", disk.open)
        patch.setattr(builtins, "open", disk.open)
        yield disk
