"""Writes image files of kinds that people have and Pillow does not write."""

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6  # colour types of PNG
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}


def write_png(
    path: Path,
    samples: NDArray[np.int64],
    *,
    depth: int,
    colour: int,
    palette: bytes | None = None,
    transparency: bytes | None = None,
) -> None:
    """Writes samples `(h, w, channels)` of 1, 2, 4, 8 or 16 bits as they are."""
    height, width, _ = samples.shape
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))]
    chunks += [(b"PLTE", palette)] if palette is not None else []
    chunks += [(b"tRNS", transparency)] if transparency is not None else []
    rows = b"".join(b"\0" + _packed(row.reshape(-1), depth) for row in samples)
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks))


def _packed(values: NDArray[np.int64], depth: int) -> bytes:
    if depth == 16:
        return values.astype(">u2").tobytes()
    bits = (values[:, None] >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.astype(np.uint8).reshape(-1)).tobytes()


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def write_twelve_bit_tiff(path: Path, values: NDArray[np.int64]) -> None:
    """Writes grey values `(h, w)` of 12 bits, two in three bytes, w even."""
    height, width = values.shape
    pairs = values.reshape(-1, 2)
    data = np.stack(
        [pairs[:, 0] >> 4, ((pairs[:, 0] & 15) << 4) | (pairs[:, 1] >> 8), pairs[:, 1] & 255], 1
    ).astype(np.uint8)
    fields = [
        (256, width), (257, height), (258, 12), (259, 1), (262, 1), (273, 8),
        (277, 1), (278, height), (279, data.size),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    directory = struct.pack("<H", len(fields)) + entries + struct.pack("<I", 0)
    offset = 8 + data.size
    path.write_bytes(struct.pack("<2sHI", b"II", 42, offset) + data.tobytes() + directory)
