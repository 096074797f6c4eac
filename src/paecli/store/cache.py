"""The download cache: files under their own hash, so that none can be taken for another."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from paecli.errors import RegistryError
from paecli.files import hash_file
from paecli.folders import CACHE_VARIABLE, cache_folder
from paecli.progress import Progress
from paecli.store.index import IndexFile

LONGEST_WAIT = 3600.0  # seconds for another process's download


def cached_file(file: IndexFile) -> Path:
    """Returns where a file is or would be in the cache."""
    return cache_folder() / "files" / file.sha256 / file.path


def partial_file(file: IndexFile) -> Path:
    """Returns where an unfinished download of a file is kept."""
    return cache_folder() / "partial" / file.sha256


@contextmanager
def only_process(key: str, what: str, progress: Progress) -> Iterator[None]:
    """Keeps other processes from doing the same thing at the same time.

    The operating system releases the lock when its process dies.

    Args:
        key: a file name that stands for the thing.
        what: the thing in words, such as `fetching model.safetensors`.
        progress: told when this has to wait.

    Raises:
        RegistryError: the cache cannot be written, or the other process takes an hour.
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
        raise RegistryError(
            f"another process has held {path} for an hour; end it and try again"
        ) from error
    except OSError as error:
        raise RegistryError(
            f"cannot write the cache {cache_folder()}: {error.strerror}; "
            f"set {CACHE_VARIABLE} to a folder of yours"
        ) from error
    try:
        yield
    finally:
        lock.release()


def cached_files() -> list[Path]:
    """Lists every finished download."""
    return sorted(path for path in (cache_folder() / "files").glob("*/*") if path.is_file())


def damaged_files() -> list[Path]:
    """Hashes every finished download and returns those that are not what they were."""
    return [path for path in cached_files() if hash_file(path) != path.parent.name]


def cache_size() -> int:
    """Returns the bytes that the cache takes up, unfinished downloads included."""
    return sum(path.stat().st_size for path in cache_folder().rglob("*") if path.is_file())
