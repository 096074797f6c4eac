"""Writes IDX, the file format of MNIST."""

import struct

import numpy as np


def idx_bytes(values: np.ndarray) -> bytes:
    """Returns unsigned bytes as the content of an IDX file."""
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    return b"\0\0\x08" + bytes([values.ndim]) + sizes + values.tobytes()


def idx_set(fill: int = 0) -> dict[str, bytes]:
    """Returns a set like MNIST by file name: 20 training and 10 test images of 4x5 pixels."""
    contents = {}
    for part, count in (("train", 20), ("t10k", 10)):
        images = np.arange(count * 20).reshape(count, 4, 5) + fill
        labels = np.arange(count) % 10
        contents[f"{part}-images-idx3-ubyte"] = idx_bytes((images % 256).astype(np.uint8))
        contents[f"{part}-labels-idx1-ubyte"] = idx_bytes(labels.astype(np.uint8))
    return contents
