"""Whole files: written atomically, hashed, compared with what they should be."""

import hashlib
import os
import tempfile
from pathlib import Path

from paecli.errors import CheckpointError


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that readers and crashes see the old or the new one, never half.

    Raises:
        CheckpointError: the folder cannot be written or the disk is full.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".tmp-", delete=False) as file:
            temporary = file.name
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(
            f"cannot write {path}: {reason}; free some space or choose another folder"
        ) from error
    finally:
        # after a success the name is gone already; after Ctrl-C it is not
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def hash_file(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_intact(path: Path, *, size: int, sha256: str) -> bool:
    """Tells whether a file exists with this size (bytes) and SHA-256."""
    # size first: it is free, and it bounds what is hashed
    return path.is_file() and path.stat().st_size == size and hash_file(path) == sha256
