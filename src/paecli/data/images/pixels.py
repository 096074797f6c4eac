"""Turns whatever an image file holds into float pixels in [0, 1].

Rules, the same for training folders and single images:

- grey, RGB, palette, 1-bit, CMYK and the like: by Pillow; RGB to grey by ITU-R 601 luma.
- 16 bits: divided by 65,535. Floats: must lie in [0, 1] already.
- transparency: composited on white.
- EXIF orientation: applied.
- another size: cropped about the centre to the wanted aspect ratio, then resized by an
  antialiased bilinear filter.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from paecli.data.opening import oriented_size
from paecli.system.errors import ImageError

SIXTEEN_BITS = 65_535
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601
SPARE = 2  # a fast reduction leaves this many times the wanted size to the fine one


def decode(
    image: Image.Image, path: Path, *, channels: int, size: tuple[int, int] | None = None
) -> Tensor:
    """Decodes an opened image.

    Args:
        image: from `open_image`.
        path: its file, for messages.
        channels: 1 grey or 3 RGB.
        size: wanted `(height, width)`; the image's own by default.

    Returns:
        `(channels, height, width)` float32 in [0, 1].

    Raises:
        ImageError: values without a known range, or NaN.
    """
    wanted = size or oriented_size(image)
    # JPEG can skip detail while decoding; other formats ignore this
    image.draft(None, (SPARE * max(wanted), SPARE * max(wanted)))
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "F" or image.mode.startswith("I"):
        pixels = torch.from_numpy(_deep_values(image, path))[None]
        pixels = pixels.expand(channels, -1, -1)
    else:
        pixels = _eight_bit_values(image, channels=channels, wanted=wanted)
    return resize(pixels, wanted)


def resize(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Crops about the centre to the aspect ratio of `size`, then resizes with antialiasing.

    Args:
        pixels: `(..., c, h, w)` float in [0, 1].
        size: wanted `(height, width)`.

    Returns:
        `(..., c, height, width)`; the very pixels when the size is right already.
    """
    height, width = pixels.shape[-2:]
    if (height, width) == size:
        return pixels
    scale = min(height / size[0], width / size[1])
    crop_height, crop_width = (max(round(side * scale), 1) for side in size)
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    cropped = pixels[..., top : top + crop_height, left : left + crop_width]
    if (crop_height, crop_width) == size:
        return cropped
    batch = cropped.reshape(-1, *cropped.shape[-3:])
    resized = functional.interpolate(batch, size=size, mode="bilinear", antialias=True)
    return resized.clamp(0, 1).reshape(*pixels.shape[:-2], *size)


def centre_crop(pixels: Tensor, side: int, size: tuple[int, int]) -> Tensor:
    """Cuts a square of `side` pixels out of the centre of `(c, h, w)` and resizes it to `size`."""
    height, width = pixels.shape[-2:]
    top, left = max((height - side) // 2, 0), max((width - side) // 2, 0)
    return resize(pixels[..., top : top + side, left : left + side], size)


def set_channels(pixels: Tensor, channels: int) -> Tensor:
    """Turns `(..., c, h, w)` float pixels grey (luma) or RGB (repeated)."""
    present = pixels.shape[-3]
    if present == channels:
        return pixels
    if channels == 1:
        weights = pixels.new_tensor(LUMA)
        return torch.einsum("...chw,c->...hw", pixels, weights).unsqueeze(-3)
    return pixels.expand(*pixels.shape[:-3], channels, *pixels.shape[-2:])


def to_bytes(pixels: Tensor) -> Tensor:
    """Rounds float pixels in [0, 1] to uint8."""
    return (pixels * 255).round().to(torch.uint8)


def _deep_values(image: Image.Image, path: Path) -> np.ndarray:
    if image.mode == "I" and image.format == "TIFF":
        raise ImageError(f"{path} has 32-bit integers of no known range; save it with 8 or 16 bits")
    values = np.array(image, dtype=np.float32)
    if image.mode != "F":
        values /= SIXTEEN_BITS
        return values
    if not np.isfinite(values).all():
        raise ImageError(f"{path} has NaN or infinite pixels; replace them or mask them first")
    low, high = values.min(), values.max()
    if low < 0 or high > 1:
        raise ImageError(f"{path} has float pixels from {low:g} to {high:g}; scale them to [0, 1]")
    return values


def _eight_bit_values(image: Image.Image, *, channels: int, wanted: tuple[int, int]) -> Tensor:
    mode = "L" if channels == 1 else "RGB"
    image = _converted(image, "RGBA" if image.has_transparency_data else mode)
    # averaging whole blocks first keeps the floats of a huge image small
    factor = min(image.height // (SPARE * wanted[0]), image.width // (SPARE * wanted[1]))
    if factor > 1:
        image = image.reduce(factor)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    values = torch.from_numpy(np.array(_converted(image, mode))).to(torch.float32) / 255
    return values[None] if channels == 1 else values.permute(2, 0, 1)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    # Pillow would copy an image that is right already
    return image if image.mode == mode else image.convert(mode)
