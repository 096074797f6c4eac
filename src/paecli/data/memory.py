"""Tensors that do not fit comfortably in memory live in files that are mapped into it."""

import math
import os
import shutil
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from paecli.system.errors import DataError
from paecli.system.folders import cache_folder
from paecli.system.names import is_utf8

COMFORTABLE_FRACTION = 4  # one set may take a fourth of the machine's memory
FALLBACK_BYTES = 2 << 30  # where the system does not tell its memory
CHUNK = 4096  # images that are copied at once


def comfortable_bytes() -> int:
    """Returns how large a set of images may be to be held in memory."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // COMFORTABLE_FRACTION
    except (AttributeError, ValueError, OSError):
        return FALLBACK_BYTES


def require_space(folder: Path, needed: int) -> None:
    """Checks that a file of `needed` bytes fits on the disk of an existing folder.

    Raises:
        DataError: it does not. A mapped file on a full disk would end the process instead.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"the decoded images take {needed / 1e9:.1f} GB, the disk of {folder} has "
            f"{free / 1e9:.1f} GB free; free some space or choose a smaller --image-size"
        )


def gather(images: Tensor, index: Tensor) -> Tensor:
    """Copies images `(n, c, h, w)` at `index`, `(k,)` int64 or `(n,)` bool.

    Returns:
        `(k, c, h, w)`, in memory, or in a nameless file in the cache when too large for that.
    """
    if index.dtype == torch.bool:
        index = index.nonzero().squeeze(1)
    shape = (len(index), *images.shape[1:])
    if math.prod(shape) <= comfortable_bytes():
        return images[index]
    target = _mapped(shape)
    for start in range(0, len(index), CHUNK):
        part = index[start : start + CHUNK]
        target[start : start + len(part)] = images[part]
    return target


def _mapped(shape: tuple[int, ...]) -> Tensor:
    size = math.prod(shape)
    folder = _disk_folder()
    require_space(folder, size)
    # the mapping keeps the file alive after its name is gone
    with tempfile.NamedTemporaryFile(prefix="pae-", dir=folder) as file:
        mapped = torch.from_file(file.name, shared=True, size=size, dtype=torch.uint8)
    return mapped.reshape(shape)


def _disk_folder() -> Path:
    """Returns the cache, for the system's temporary folder is often memory; that if need be."""
    folder = cache_folder() / "mapped"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir())
    usable = os.access(folder, os.W_OK) and is_utf8(folder)  # what maps files takes text
    return folder if usable else Path(tempfile.gettempdir())
