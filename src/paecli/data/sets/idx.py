"""Reads IDX, the file format of MNIST: a big-endian header, then the bytes.

Format: two zero bytes, a type code, the number of dimensions, the dimensions as 32-bit
big-endian integers, the values (Y. LeCun, "The MNIST database", file formats). KMNIST is handed out
as NumPy's archives, too, of one array each.
"""

import gzip
import io
import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
import torch
from torch import Tensor

from paecli.system.errors import DataError

UINT8 = 0x08  # the one type code that MNIST's relatives use
MAX_DIMENSIONS = 4
MAX_BYTES = 1 << 31  # no known IDX set is near; a hostile gzip would be
CHUNK = 1 << 22
ARRAY = "arr_0.npy"  # what `numpy.savez` calls an array without a name


def read_idx(path: Path) -> Tensor:
    """Reads an IDX file of unsigned bytes, gzipped when its content says so.

    The header is checked against the length of the data before anything of its size is
    allocated, and a gzip stream is expanded only as far as the header announces.

    Args:
        path: the file.

    Returns:
        uint8 values of the shape in the header.

    Raises:
        DataError: unreadable, not IDX, truncated, too long or of another type.
    """
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not zipped:
                return _parse(raw, path)
            with gzip.open(raw) as stream:
                return _parse(stream, path)  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot read {path}: {reason}; download it again") from error


def read_npz(path: Path) -> Tensor:
    """Reads the one array of unsigned bytes in an archive of NumPy; runs no code of it.

    Args:
        path: the file.

    Returns:
        uint8 values.

    Raises:
        DataError: unreadable, no such archive, damaged, too long or of another type.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(ARRAY) as member:
            content = _read_at_most(member, MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise DataError(f"{path} unpacks into more than an IDX set can have")
        values = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except DataError:
        raise
    # what zipfile and NumPy raise of damaged files
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, KeyError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise DataError(f"cannot read {path}: {reason:.200}; download it again") from error
    if values.dtype != np.uint8:
        raise DataError(f"{path} holds values of type {values.dtype}, only bytes (uint8) fit")
    return torch.from_numpy(values)


def _parse(stream: BinaryIO, path: Path) -> Tensor:
    shape = _read_shape(stream, path)
    expected = math.prod(shape)
    if expected > MAX_BYTES:
        raise DataError(f"{path} announces {expected} bytes, more than an IDX set can have")
    content = _read_at_most(stream, expected + 1)
    if len(content) != expected:
        more = "more" if len(content) > expected else f"only {len(content)}"
        raise DataError(
            f"{path} is damaged: its header announces {expected} bytes, it holds {more}; "
            "download it again"
        )
    values = np.frombuffer(content, dtype=np.uint8).reshape(shape)
    return torch.from_numpy(values)


def _read_shape(stream: BinaryIO, path: Path) -> tuple[int, ...]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or not 1 <= magic[3] <= MAX_DIMENSIONS:
        raise DataError(f"{path} is not an IDX file; download it again")
    if magic[2] != UINT8:
        raise DataError(f"{path} holds values of IDX type {magic[2]:#04x}, only bytes (0x08) fit")
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(f"{path} ends within its header; download it again")
    return tuple(int(size) for size in np.frombuffer(sizes, dtype=">u4"))


def _read_at_most(stream: IO[bytes], limit: int) -> bytearray:
    # grows with what is there, so a false header costs no memory
    content = bytearray()
    while len(content) < limit and (chunk := stream.read(min(CHUNK, limit - len(content)))):
        content += chunk
    return content
