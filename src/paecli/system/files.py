"""Whole files: written atomically, hashed, compared with what they should be."""

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from paecli.system.destination import Destination, follow
from paecli.system.errors import WriteError
from paecli.system.folders import CACHE_VARIABLE, cache_folder
from paecli.system.temporary import temporary_folder

HINTS = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.EISDIR: "give the name of a file",
    errno.EBADF: "it is closed",
}


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

    Links are followed. What is no regular file (a pipe, a device, `/dev/stdout`) stays, and the
    content is written into it. A new file has the rights that the umask allows, a replaced one
    keeps its own.

    Raises:
        WriteError: the folder cannot be written or the disk is full.
        BrokenPipeError: what reads the output has gone away.
    """
    try:
        destination = follow(path)
        atomic = destination.replaceable and _may_replace(destination.path)
        with _staging(destination, atomic=atomic) as folder:
            temporary = folder / f"new{path.suffix}"
            mode = _fresh_mode(temporary)
            yield temporary
            if atomic:
                _replace(destination, temporary, mode)
            else:
                destination.write_from(temporary)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> WriteError:
    """Returns the error for a file that cannot be written, with what to do next."""
    hint = HINTS.get(error.errno or 0, "choose another place")
    if cache_folder().absolute() in path.absolute().parents:
        room = "free some space or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        hint = f"{room}set {CACHE_VARIABLE} to a folder of yours"
    return WriteError(f"cannot write {path}: {error.strerror or error}; {hint}")


@contextmanager
def _staging(destination: Destination, *, atomic: bool) -> Iterator[Path]:
    """Gives a folder on the destination's disk, or any, if it is only written into."""
    if atomic:
        with temporary_folder(destination.path.parent) as folder:
            yield folder
    else:
        with tempfile.TemporaryDirectory(prefix="pae-") as name:
            yield Path(name)


def _may_replace(path: Path) -> bool:
    """Tells whether a new file may take the place of `path`; makes its folder.

    Raises:
        OSError: it may not even be written into, or the folder cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return True
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return os.access(path.parent, os.W_OK | os.X_OK)


def _fresh_mode(path: Path) -> int:
    """Makes an empty file and returns the rights that the system gives to new files."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        return stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        os.close(handle)


def _replace(destination: Destination, temporary: Path, mode: int) -> None:
    _flush_to_disk(temporary)
    with suppress(FileNotFoundError):
        before = destination.path.stat()
        mode = stat.S_IMODE(before.st_mode)
        with suppress(OSError):  # only root may give files away
            os.chown(temporary, before.st_uid, before.st_gid)
    temporary.chmod(mode)
    try:
        temporary.replace(destination.path)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        destination.write_from(temporary)  # a file that is mounted by itself, as into a container


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
