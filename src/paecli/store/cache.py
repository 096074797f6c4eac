"""The download cache: files under their own hash, so that none can be taken for another."""

import os
import re
from contextlib import suppress
from pathlib import Path

from paecli.store.index import IndexFile
from paecli.system.errors import RegistryError, WriteError
from paecli.system.files import hash_file, write_atomically
from paecli.system.folders import CACHE_VARIABLE, cache_folder
from paecli.system.yaml_text import read_bounded_text

HASH = re.compile("[0-9a-f]{64}")  # the name of a folder in the cache
NAME = re.compile("[a-z0-9][a-z0-9._-]{0,63}")  # of an entry, as the index takes it
LONGEST_ADDRESS = 4096  # bytes


def cached_file(file: IndexFile) -> Path:
    """Returns where a file is or would be in the cache."""
    return cache_folder() / "files" / file.sha256 / file.path


def partial_file(file: IndexFile) -> Path:
    """Returns where an unfinished download of a file is kept."""
    return cache_folder() / "partial" / file.sha256


def keep_in_cache(part: Path, target: Path) -> None:
    """Moves a verified file to its place in the cache, and marks it as written by pae.

    Raises:
        RegistryError: the cache cannot be written, or a file is there that pae did not write.
    """
    if target.is_file() and not _is_ours(target):
        raise RegistryError(
            f"{target} is in the place of a download, and pae has no record of writing it; "
            f"move it away, or set {CACHE_VARIABLE}"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _mark(target).touch()  # first: what is removed again has a mark in every case
        part.replace(target)
    except OSError as error:
        raise RegistryError(
            f"cannot write {target}: {error.strerror}; free some space or set {CACHE_VARIABLE}"
        ) from error


def cached_files() -> list[Path]:
    """Lists the finished downloads; other files in the cache's folder are not pae's."""
    return [path for path in _possible_files() if _is_ours(path)]


def unknown_files() -> list[Path]:
    """Lists what is in the place of downloads and neither has a mark nor is what it should be.

    Somebody put it there, or version 0.1, which left no marks, and it is damaged.
    """
    return [path for path in _possible_files() if not _is_ours(path)]


def damaged_files() -> list[Path]:
    """Hashes every finished download and returns those that are not what they were."""
    return [path for path in cached_files() if not _is_whole(path)]


def remove_damaged(paths: list[Path]) -> None:
    """Removes finished downloads, and their marks.

    Raises:
        RegistryError: one cannot be removed.
    """
    for path in paths:
        try:
            path.unlink(missing_ok=True)
            _mark(path).unlink(missing_ok=True)
        except OSError as error:
            raise RegistryError(
                f"cannot remove the damaged file {path}: {error.strerror}; remove it yourself"
            ) from error


def remember_registry(name: str, address: str) -> None:
    """Notes where a name was fetched from, so that other commands find it by the name alone.

    A cache that cannot be written remembers nothing.
    """
    with suppress(WriteError):
        write_atomically(_note(name), os.fsencode(f"{address}\n"))


def remembered_registry(name: str) -> str | None:
    """Returns the address that a name was last fetched from, or None."""
    if not NAME.fullmatch(name):
        return None
    try:
        return read_bounded_text(_note(name), LONGEST_ADDRESS).strip() or None
    except (OSError, ValueError):
        return None


def _note(name: str) -> Path:
    return cache_folder() / "names" / f"{name}.txt"


def _mark(path: Path) -> Path:
    return path.with_name(f".{path.name}.pae")


def _possible_files() -> list[Path]:
    """Lists the files that lie where downloads do."""
    found = (cache_folder() / "files").glob("*/*")
    return sorted(path for path in found if _is_possible(path))


def _is_possible(path: Path) -> bool:
    folder = path.parent
    if path.name.startswith(".") or path.is_symlink() or folder.is_symlink():
        return False
    return path.is_file() and HASH.fullmatch(folder.name) is not None


def _is_ours(path: Path) -> bool:
    """Tells whether pae wrote a file: it has our mark, or is what the folder's name says.

    Version 0.1 left no marks.
    """
    return _mark(path).is_file() or _is_whole(path)


def _is_whole(path: Path) -> bool:
    try:
        return hash_file(path) == path.parent.name
    except OSError:
        return False


def cache_size() -> int:
    """Returns the bytes that the cache takes up, unfinished downloads included."""
    total = 0
    for path in cache_folder().rglob("*"):
        with suppress(OSError):  # another process may just have moved it
            total += path.stat().st_size if path.is_file() else 0
    return total
