"""Whole files: written atomically, hashed, compared with what they should be."""

import hashlib
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from paecli.system.errors import WriteError


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that readers and crashes see the old or the new one, never half.

    Raises:
        WriteError: the folder cannot be written or the disk is full.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary file to write, and puts it in the place of `path` afterwards.

    Raises:
        WriteError: the folder cannot be written or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _new_file_beside(path)
        yield temporary
        _flush_to_disk(temporary)
        temporary.replace(path)
    except OSError as error:
        raise WriteError(
            f"cannot write {path}: {error.strerror or error}; "
            "free some space or choose another folder"
        ) from error
    finally:
        # after a success the name is gone already; after Ctrl-C it is not
        if temporary:
            temporary.unlink(missing_ok=True)


def _new_file_beside(path: Path) -> Path:
    """Makes an empty file with the rights of the one it is to replace, or those of the umask."""
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}{path.suffix}")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
    with suppress(FileNotFoundError):
        temporary.chmod(stat.S_IMODE(path.stat().st_mode))
    return temporary


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def hash_file(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_intact(path: Path, *, size: int, sha256: str) -> bool:
    """Tells whether a file can be read and has this size (bytes) and SHA-256."""
    try:
        # size first: it is free, and it bounds what is hashed
        return path.is_file() and path.stat().st_size == size and hash_file(path) == sha256
    except OSError:
        return False
