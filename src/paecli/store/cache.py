"""The download cache: files under their own hash, so that none can be taken for another."""

from contextlib import suppress
from pathlib import Path

from paecli.store.index import IndexFile
from paecli.system.files import hash_file
from paecli.system.folders import cache_folder


def cached_file(file: IndexFile) -> Path:
    """Returns where a file is or would be in the cache."""
    return cache_folder() / "files" / file.sha256 / file.path


def partial_file(file: IndexFile) -> Path:
    """Returns where an unfinished download of a file is kept."""
    return cache_folder() / "partial" / file.sha256


def cached_files() -> list[Path]:
    """Lists every finished download."""
    return sorted(path for path in (cache_folder() / "files").glob("*/*") if path.is_file())


def damaged_files() -> list[Path]:
    """Hashes every finished download and returns those that are not what they were."""
    return [path for path in cached_files() if hash_file(path) != path.parent.name]


def cache_size() -> int:
    """Returns the bytes that the cache takes up, unfinished downloads included."""
    total = 0
    for path in cache_folder().rglob("*"):
        with suppress(OSError):  # another process may just have moved it
            total += path.stat().st_size if path.is_file() else 0
    return total
