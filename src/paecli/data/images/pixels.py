"""Turns whatever an image file holds into float pixels in [0, 1].

Rules, the same for training folders and single images:

- grey, RGB, palette, 1-bit, CMYK and the like: by Pillow; RGB to grey by ITU-R 601 luma.
- 16 bits: divided by 65,535. Floats: must lie in [0, 1] already. See `deep_pixels`.
- transparency: composited on white.
- EXIF orientation: applied. Colour profiles and gamma: not looked at.
- an animation or a file of several pages: its first image.
- another size: cropped about the centre to the wanted aspect ratio, then resized by an
  antialiased bilinear filter.
"""

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from paecli.data.images.deep_pixels import deep_layers, is_deep
from paecli.data.images.opening import ImageSource, has_colour, layout_of, oriented_size

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601
SPARE = 2  # a fast reduction leaves this many times the wanted size to the fine one


def decode(
    image: Image.Image, path: ImageSource, *, channels: int, size: tuple[int, int] | None = None
) -> Tensor:
    """Decodes an opened image.

    Args:
        image: from `open_image`.
        path: its file, for messages and for what takes two readings.
        channels: 1 grey or 3 RGB.
        size: wanted `(height, width)`; the image's own by default.

    Returns:
        `(channels, height, width)` float32 in [0, 1].

    Raises:
        ImageError: values without a known range, or NaN.
    """
    wanted = size or oriented_size(image)
    if is_deep(image):
        colours, opacity = _deep_layers(image, path)
        if opacity is not None:
            colours = colours * opacity + 1 - opacity
        return resize(set_channels(colours, channels), wanted)
    # JPEG can skip detail while decoding; other formats ignore this
    image.draft(None, (SPARE * max(wanted), SPARE * max(wanted)))
    _prepare(image)
    return resize(_eight_bit_values(image, channels=channels, wanted=wanted), wanted)


def decode_layers(image: Image.Image, path: ImageSource) -> tuple[Tensor, Tensor | None]:
    """Decodes an opened image at its own size, with its transparency apart.

    Returns:
        Colours `(1 or 3, h, w)` float32 in [0, 1] and opacity `(1, h, w)`, or None if all opaque.

    Raises:
        ImageError: values without a known range, or NaN.
    """
    if is_deep(image):
        return _deep_layers(image, path)
    _prepare(image)
    mode = "RGBA" if image.has_transparency_data else "RGB" if has_colour(image) else "L"
    values = torch.from_numpy(np.array(_converted(image, mode))).to(torch.float32) / 255
    values = values[None] if mode == "L" else values.permute(2, 0, 1)
    return values[:3], values[3:] if mode == "RGBA" else None


def reduction(size: tuple[int, int], wanted: tuple[int, int]) -> int:
    """Returns the side of the blocks that a large image is averaged over before it is resized."""
    return min(side // (SPARE * aim) for side, aim in zip(size, wanted, strict=True))


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


def _deep_layers(image: Image.Image, path: ImageSource) -> tuple[Tensor, Tensor | None]:
    with path.open("rb") as file:
        return deep_layers(image, file, str(path))


def _prepare(image: Image.Image) -> None:
    """Decodes 8-bit pixels, turns them as people see them, and mends the transparent grey."""
    steps = {"L;2": 3, "L;4": 15}.get(layout_of(image))
    hidden = image.info.get("transparency")
    ImageOps.exif_transpose(image, in_place=True)
    if steps and isinstance(hidden, int) and hidden <= steps:
        # Pillow scales the pixels of such a PNG to 8 bits, but not this value
        image.info["transparency"] = hidden * 255 // steps


def _eight_bit_values(image: Image.Image, *, channels: int, wanted: tuple[int, int]) -> Tensor:
    mode = "L" if channels == 1 else "RGB"
    image = _converted(image, "RGBA" if image.has_transparency_data else mode)
    # averaging whole blocks first keeps the floats of a huge image small
    factor = reduction((image.height, image.width), wanted)
    if factor > 1:
        image = image.reduce(factor)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        mode = "RGB"  # grey only afterwards, not to round twice
    values = torch.from_numpy(np.array(_converted(image, mode))).to(torch.float32) / 255
    return values[None] if mode == "L" else set_channels(values.permute(2, 0, 1), channels)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode in ("La", "RGBa"):  # premultiplied; Pillow goes on only from there
        image = image.convert(image.mode.upper())
    # Pillow would copy an image that is right already
    return image if image.mode == mode else image.convert(mode)
