"""Temporary folders beside what they become: those of killed processes are found and removed."""

import functools
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows, where leftovers stay
    fcntl = None  # type: ignore[assignment]

PREFIX = ".tmp-pae-"
OUR_NAME = re.compile(re.escape(PREFIX) + "[a-z0-9_]{8}")


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Gives a folder in an existing one, for this process alone, and removes it afterwards.

    It is locked while it is used, and the operating system releases locks when a process dies.
    So a folder of this name that nobody has locked is left over from a kill or a crash: the
    first call of a process for `parent` removes those.

    Raises:
        OSError: `parent` cannot be written.
    """
    _clean_once(parent.resolve())
    folder, lock = _make_locked(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_leftovers(parent: Path) -> None:
    """Removes the temporary folders in `parent` whose process is gone; others are not touched."""
    if fcntl is None:
        return
    with suppress(OSError), os.scandir(parent) as entries:
        left = [Path(entry.path) for entry in entries if OUR_NAME.fullmatch(entry.name)]
        for folder in left:
            with suppress(OSError):  # in use, no folder, or gone by now
                _remove_if_left(folder)


_clean_once = functools.cache(remove_leftovers)


def _make_locked(parent: Path) -> tuple[Path, int | None]:
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=PREFIX))
        with suppress(BlockingIOError, FileNotFoundError):
            return folder, _lock(folder)
        # another process cleaned up between the two


def _remove_if_left(folder: Path) -> None:
    lock = _lock(folder)
    if lock is None:
        return
    try:
        if os.fstat(lock).st_uid == os.geteuid():
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _lock(folder: Path) -> int | None:
    """Locks a folder: returns what holds the lock, or None where there are no locks.

    Raises:
        BlockingIOError: another process has it.
        FileNotFoundError: the folder is gone.
    """
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            raise
        return None  # a network disk, perhaps
    return handle
