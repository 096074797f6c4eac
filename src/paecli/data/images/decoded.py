"""Decodes many image files into one tensor, and remembers large results on disk."""

import hashlib
import logging
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from paecli.data.images.opening import (
    has_colour,
    holds_several,
    open_image,
    oriented_size,
    several_note,
)
from paecli.data.images.pixels import centre_crop, decode, to_bytes
from paecli.data.memory import require_space
from paecli.data.sets.locations import dataset_cache
from paecli.system.cores import available_cores
from paecli.system.errors import DataError, ImageError, WriteError
from paecli.system.files import replacing
from paecli.system.progress import Progress

logger = logging.getLogger(__name__)

# bytes of decoded pixels, or of files; decoding fewer takes no longer than looking them up
CACHE_FROM = 64 << 20
CACHE_FILES_FROM = 4 << 20
WORTH_THREADS = 64  # files; fewer are decoded sooner than threads are started
TOGETHER = 256  # files whose pixels wait for each other; bounds the memory
MAY_HOLD_SEVERAL = (".gif", ".tif", ".tiff", ".webp")
RECIPE_VERSION = 2  # raise it when the rules in pixels.py change


@dataclass(frozen=True)
class Recipe:
    """How files become pixels.

    Attributes:
        channels: 1 grey or 3 RGB.
        size: `(height, width)` in pixels.
        same_size: refuse files of another size instead of resizing them.
        same_colour: refuse colour files when `channels` is 1 instead of making them grey.
        crop: side of a square cut out of the centre first, in pixels.
        invert: make a negative.
    """

    channels: int
    size: tuple[int, int]
    same_size: bool = False
    same_colour: bool = False
    crop: int | None = None
    invert: bool = False


def decode_files(
    files: Sequence[Path], recipe: Recipe, progress: Progress
) -> tuple[Tensor, Tensor]:
    """Decodes image files; those that cannot be read are left out and reported.

    Args:
        files: at least one.
        recipe: what to do with each.
        progress: told after each file, and how many were left out.

    Returns:
        Images `(n, c, h, w)` uint8, in memory or mapped from the cache, and for each the index
        of its file, `(n,)` int64.

    Raises:
        DataError: no file can be read, or `same_size` is asked for and the sizes differ.
    """
    shape = (len(files), recipe.channels, *recipe.size)
    large = math.prod(shape) > CACHE_FROM
    if not large and not _take_long(files):
        return _decode_in_memory(shape, files, recipe, progress)
    cached = dataset_cache() / "decoded" / f"{_key(files, recipe)}.npy"
    if found := _read_cache(cached, shape):
        logger.debug("%d images from %s", len(files), cached)
        images, kept = found
        if len(kept) < len(files):
            lost = len(files) - len(kept)
            progress.say(f"{lost} of {len(files)} images left out: they cannot be read")
        return images, kept
    try:
        _write_cache(cached, shape, files, recipe, progress)
    except WriteError:
        if large:
            raise
        return _decode_in_memory(shape, files, recipe, progress)
    found = _read_cache(cached, shape)
    if found is None:
        raise DataError(f"cannot read back {cached}, written just now; is its disk sound?")
    return found


def _take_long(files: Sequence[Path]) -> bool:
    return sum(file.stat().st_size for file in files if file.exists()) > CACHE_FILES_FROM


def _decode_in_memory(
    shape: tuple[int, ...], files: Sequence[Path], recipe: Recipe, progress: Progress
) -> tuple[Tensor, Tensor]:
    images = np.empty(shape, dtype=np.uint8)
    kept = _fill(images, files, recipe, progress)
    return torch.from_numpy(images[: len(kept)]), torch.tensor(kept)


def _fill(
    images: np.ndarray, files: Sequence[Path], recipe: Recipe, progress: Progress
) -> list[int]:
    kept: list[int] = []
    failures: list[str] = []
    with progress.task("decoding images", len(files)) as task:
        for index, pixels in enumerate(_decoded(files, recipe)):
            if isinstance(pixels, ImageError):
                failures.append(str(pixels))
            else:
                images[len(kept)] = pixels
                kept.append(index)
            task.advance()
    if not kept:
        raise DataError(f"none of {len(files)} images can be used; the first: {failures[0]}")
    if failures:
        progress.say(f"{len(failures)} of {len(files)} images left out; the first: {failures[0]}")
    if note := several_note([files[index] for index in kept if _holds_several(files[index])]):
        progress.say(note)
    return kept


def _holds_several(file: Path) -> bool:
    """Tells whether a file holds several pictures; opens no kind that hardly ever does."""
    if file.suffix.lower() not in MAY_HOLD_SEVERAL:
        return False
    with suppress(ImageError), open_image(file) as image:  # it may be gone by now
        return holds_several(image)
    return False


def _decoded(files: Sequence[Path], recipe: Recipe) -> Iterator[np.ndarray | ImageError]:
    """Yields the pixels of each file, or what is wrong with it, in their order; on all cores."""

    def decode_one(file: Path) -> np.ndarray | ImageError:
        try:
            return _decode_file(file, recipe)
        except ImageError as error:
            return error

    if available_cores() == 1 or len(files) < WORTH_THREADS:
        yield from map(decode_one, files)
        return
    # Pillow decodes without Python's lock. Catching warnings, as `open_image` does, is not made for
    # threads: here they are ignored around all of them, and come back as they were
    with (
        warnings.catch_warnings(action="ignore"),
        ThreadPoolExecutor(available_cores()) as threads,
    ):
        try:
            for start in range(0, len(files), TOGETHER):
                yield from threads.map(decode_one, files[start : start + TOGETHER])
        finally:
            threads.shutdown(cancel_futures=True)


def _decode_file(file: Path, recipe: Recipe) -> np.ndarray:
    with open_image(file) as image:
        _check_alike(image, file, recipe)
        if recipe.crop:
            whole = decode(image, file, channels=recipe.channels)
            pixels = centre_crop(whole, recipe.crop, recipe.size)
        else:
            pixels = decode(image, file, channels=recipe.channels, size=recipe.size)
    values: np.ndarray = to_bytes(pixels).numpy()
    return 255 - values if recipe.invert else values


def _check_alike(image: Image.Image, file: Path, recipe: Recipe) -> None:
    size = oriented_size(image)
    if recipe.same_size and size != recipe.size:
        raise DataError(
            f"{file} has {size[1]}x{size[0]} pixels, the first image "
            f"{recipe.size[1]}x{recipe.size[0]}; choose one size with --image-size"
        )
    if recipe.same_colour and recipe.channels == 1 and has_colour(image):
        raise DataError(f"{file} is in colour, the first image is grey; choose with --channels")


def _key(files: Sequence[Path], recipe: Recipe) -> str:
    digest = hashlib.sha256(f"{RECIPE_VERSION} {recipe}\n".encode())
    for file in files:
        stamps = "gone"
        with suppress(OSError):
            state = file.stat()
            # the time of the last change of state cannot be set back, as that of writing can
            stamps = f"{state.st_size}\0{state.st_mtime_ns}\0{state.st_ctime_ns}"
        digest.update(os.fsencode(file.resolve()) + f"\0{stamps}\n".encode())
    return digest.hexdigest()[:32]


def _index_file(cached: Path) -> Path:
    return cached.with_suffix(".index.npy")


def _write_cache(
    cached: Path,
    shape: tuple[int, ...],
    files: Sequence[Path],
    recipe: Recipe,
    progress: Progress,
) -> None:
    with replacing(cached) as images_file, replacing(_index_file(cached)) as index_file:
        require_space(cached.parent, math.prod(shape))
        images = np.lib.format.open_memmap(images_file, mode="w+", dtype=np.uint8, shape=shape)
        kept = _fill(images, files, recipe, progress)
        images.flush()
        np.save(index_file, np.array(kept, dtype=np.int64))


def _read_cache(cached: Path, shape: tuple[int, ...]) -> tuple[Tensor, Tensor] | None:
    """Returns what an earlier call decoded; None where there is nothing, or it is damaged."""
    try:
        kept = np.load(_index_file(cached))
        # copy on write: the tensor may be changed, the file is not
        images = np.load(cached, mmap_mode="c")
        if images.shape != shape or images.dtype != np.uint8 or len(kept) > len(images):
            return None
    except (OSError, ValueError, EOFError):
        return None
    return torch.from_numpy(images[: len(kept)]), torch.from_numpy(kept)
