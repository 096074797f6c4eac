"""Keeps two processes from doing the same thing at the same time: to the cache, or to a folder."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from paecli.system.errors import WriteError
from paecli.system.folders import CACHE_VARIABLE, cache_folder
from paecli.system.progress import Progress

LOCK_FILE = ".lock"  # in a folder that one process writes to
LONGEST_WAIT = 3600.0  # seconds for another process's download


@contextmanager
def only_process(key: str, what: str, progress: Progress) -> Iterator[None]:
    """Keeps other processes from doing the same thing at the same time.

    The operating system releases the lock when its process dies.

    Args:
        key: a file name that stands for the thing.
        what: the thing in words, such as `fetching model.safetensors`.
        progress: told when this has to wait.

    Raises:
        WriteError: the cache cannot be written, or the other process takes an hour.
    """
    path = cache_folder() / "locks" / f"{key}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock_file(path)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            progress.say(f"Another pae is {what}; waiting for it.")
            lock.acquire(timeout=LONGEST_WAIT)
    except filelock.Timeout as error:
        raise WriteError(
            f"another process has held {path} for an hour; end it and try again"
        ) from error
    except OSError as error:
        raise WriteError(
            f"cannot write the cache {cache_folder()}: {error.strerror}; "
            f"set {CACHE_VARIABLE} to a folder of yours"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def locked_folder(folder: Path) -> Iterator[bool]:
    """Makes this the only process that writes to a folder, which is made if it is not there.

    The operating system releases the lock when its process dies. A folder that was made for
    the lock and into which nothing was written goes again.

    Yields:
        Whether the folder is this process's; False while another one has it.

    Raises:
        WriteError: the folder cannot be written.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    path = folder / LOCK_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _lock_file(path)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        yield False
        return
    except OSError as error:
        raise WriteError(
            f"cannot write to {folder}: {error.strerror}; choose another folder"
        ) from error
    try:
        yield True
    finally:
        if made and [file.name for file in folder.iterdir()] == [LOCK_FILE]:
            path.unlink()
            with suppress(OSError):  # another process may use a folder above it
                for each in made:
                    each.rmdir()
        lock.release()


def _lock_file(path: Path) -> filelock.BaseFileLock:
    """Returns the lock of a file, which has the rights that the umask allows.

    The library gives it the rights that it is told, whatever the umask.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        os.close(handle)
    return filelock.FileLock(path, mode=mode)
