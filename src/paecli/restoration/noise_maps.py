"""The noise of an image: one number, or a file with a standard deviation for each pixel."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from paecli.data.images.files import ImageFile, read_image
from paecli.data.images.opening import open_image, oriented_size
from paecli.data.images.partners import ARRAY_ENDING
from paecli.data.images.pixels import resize, set_channels
from paecli.model.requirements import require_noise_of_file
from paecli.system.errors import ImageError


def read_noise(noise: float | Path, image: ImageFile) -> float | Tensor:
    """Reads the noise of an image.

    A picture's white is a standard deviation of 1, as in the `std.png` that restorations write;
    the file of an array holds the deviations themselves, `(h, w)` or `(h, w, c)`. What has the
    size of the image's file is resized with it.

    Args:
        noise: the standard deviation, or a file.
        image: the image it belongs to.

    Returns:
        The number, or `(c, h, w)` in [0, 1].

    Raises:
        ImageError: a file that cannot be read or has another size than the image.
        UsageError: deviations outside [0, 1].
    """
    if not isinstance(noise, Path):
        return float(noise)
    if noise.suffix.lower() == ARRAY_ENDING:
        pixels = _read_array(noise)
    else:
        with open_image(noise) as opened:
            size = oriented_size(opened)
        pixels = read_image(noise, image_shape=(image.pixels.shape[0], *size)).pixels
    if not pixels.isfinite().all() or pixels.min() < 0:
        raise ImageError(f"{noise} has values below 0, infinite or NaN; give standard deviations")
    require_noise_of_file(pixels.max().item(), f"the largest value of {noise}")
    height, width = pixels.shape[1:]
    own = (image.pixels.shape[1], image.pixels.shape[2])
    if (height, width) not in (image.original_size, own):
        raise ImageError(
            f"the noise map {noise} is {width} x {height} pixels, {image.path} is "
            f"{image.original_size[1]} x {image.original_size[0]}; give a map of that size"
        )
    return resize(set_channels(pixels, image.pixels.shape[0]), own)


def _read_array(path: Path) -> Tensor:
    try:
        # mapped, so that a header that lies about a huge array costs no memory
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy's reader fails in many ways on hostile files
        reason = " ".join(str(error).split())
        raise ImageError(
            f"cannot read {path} as a NumPy array ({reason:.200}); write it by numpy.save"
        ) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise ImageError(
            f"{path} is an archive of arrays; give one NumPy array, written by numpy.save"
        )
    if array.ndim not in (2, 3) or array.dtype.kind not in "fiu" or 0 in array.shape:
        raise ImageError(
            f"{path} holds an array of shape {array.shape} and type {array.dtype}; give numbers "
            "of shape (height, width) or (height, width, channels)"
        )
    if array.ndim == 3 and array.shape[2] not in (1, 3):
        raise ImageError(f"{path} has {array.shape[2]} channels in its last axis; give 1 or 3")
    pixels = torch.from_numpy(np.array(array, dtype=np.float32))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)
