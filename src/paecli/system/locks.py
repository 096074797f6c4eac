"""Keeps two processes from doing the same thing to the cache at the same time."""

from collections.abc import Iterator
from contextlib import contextmanager

import filelock

from paecli.system.errors import WriteError
from paecli.system.folders import CACHE_VARIABLE, cache_folder
from paecli.system.progress import Progress

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
        lock = filelock.FileLock(path)
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
