"""Pixels of more than 8 bits: 16-bit grey and colour, and floats.

Pillow keeps only the high bytes of 16-bit colours. Both bytes come out when the file is decoded
a second time with the other byte order.
"""

import sys
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from paecli.data.images.opening import BITS, PHOTOMETRIC, WHITE_IS_ZERO, layout_of, tag_numbers
from paecli.system.errors import ImageError

TWELVE_BITS, SIXTEEN_BITS = 4095, 65_535
# elsewhere 16 bits may be signed or counts without a scale
KNOWN_RANGES = frozenset({"PNG", "PPM", "TIFF", "JPEG2000"})
OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


def is_deep(image: Image.Image) -> bool:
    """Tells whether an opened image has more than 8 bits a value."""
    return image.mode[0] in "FI" or ";16" in layout_of(image)


def deep_layers(image: Image.Image, file: IO[bytes], name: str) -> tuple[Tensor, Tensor | None]:
    """Decodes an image of more than 8 bits, turned as people see it.

    Args:
        image: opened, with its layout noted.
        file: its file, read again where one decoding gives only half of the bytes.
        name: its path, for messages.

    Returns:
        Colours `(1 or 3, h, w)` float32 in [0, 1] and opacity `(1, h, w)`, or None if all opaque.

    Raises:
        ImageError: values without a known range, or NaN.
    """
    layout = layout_of(image)
    if image.mode[0] not in "FI" and ";16" in layout:
        return _deep_colours(image, file, layout)
    ImageOps.exif_transpose(image, in_place=True)
    values = _float_values(image, name) if image.mode == "F" else _integer_values(image, name)
    if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO:
        values = 1 - values
    hidden = image.info.get("transparency")
    grey = torch.from_numpy(values)[None]
    if not isinstance(hidden, int):
        return grey, None
    return grey, (grey * SIXTEEN_BITS).round().ne(hidden).float()


def _integer_values(image: Image.Image, name: str) -> NDArray[np.float32]:
    if image.format not in KNOWN_RANGES:
        raise ImageError(f"{name} has integers of no known range; save it as PNG of 8 or 16 bits")
    twelve = tag_numbers(getattr(image, "tag_v2", {}).get(BITS)) == (12,)
    values = np.array(image, dtype=np.float32)
    values /= TWELVE_BITS if twelve else SIXTEEN_BITS
    return values


def _float_values(image: Image.Image, name: str) -> NDArray[np.float32]:
    values = np.array(image, dtype=np.float32)
    if not np.isfinite(values).all():
        raise ImageError(f"{name} has NaN or infinite pixels; replace them or mask them first")
    low, high = values.min(), values.max()
    if low < 0 or high > 1:
        raise ImageError(f"{name} has float pixels from {low:g} to {high:g}; scale them to [0, 1]")
    return values


def _deep_colours(image: Image.Image, file: IO[bytes], layout: str) -> tuple[Tensor, Tensor | None]:
    if layout == "LA;16B":
        # as many bytes a pixel as RGBA, so that one decoding gives them all
        four = _decode_as(file, "RGBA")
        return _join(four[:1], four[1:2]), _join(four[2:3], four[3:])
    premultiplied, layout = "RGBa" in layout, layout.replace("RGBa", "RGBA")
    other = layout[:-1] + OTHER_ORDER[layout[-1]]
    values = _join(_decode_as(file, layout), _decode_as(file, other))
    if image.mode == "CMYK":
        return (1 - values[:3]) * (1 - values[3:]), None
    if len(values) < 4:
        return values, _all_but(values, image.info.get("transparency"))
    colours, opacity = values[:3], values[3:]
    if premultiplied:
        colours = (colours / opacity.clamp_min(1 / SIXTEEN_BITS)).clamp_max(1)
    return colours, opacity


def _decode_as(file: IO[bytes], layout: str) -> Tensor:
    """Decodes a file as if its pixels had that layout; `(bands, h, w)` uint8."""
    file.seek(0)
    with Image.open(file) as image:
        image.tile = [
            tile._replace(args=(layout, *tile.args[1:]) if isinstance(tile.args, tuple) else layout)
            for tile in image.tile
        ]
        ImageOps.exif_transpose(image, in_place=True)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _join(high: Tensor, low: Tensor) -> Tensor:
    return (high.float() * 256 + low) / SIXTEEN_BITS


def _all_but(values: Tensor, key: object) -> Tensor | None:
    """Returns the opacity of a file in which one colour, of 16-bit values, is transparent."""
    if not isinstance(key, tuple):
        return None
    wanted = torch.tensor(key)[:, None, None]
    return (values * SIXTEEN_BITS).round().ne(wanted).any(0, keepdim=True).float()
