"""What can be missing from an image, and how noise is added to one."""

import torch
from torch import Tensor

from paecli.system.errors import UsageError

SHAPES = "box, left, right, top, bottom, random:FRACTION, box:X0,Y0,X1,Y1"


def missing_pixels(spec: str, *, height: int, width: int, seed: int = 0) -> Tensor:
    """Builds a mask from its description.

    Args:
        spec: `left`, `right`, `top` or `bottom` (that half), `box` (the central half of
            each side), `box:X0,Y0,X1,Y1` (columns X0 to X1 - 1, rows Y0 to Y1 - 1) or
            `random:FRACTION` (each pixel with that probability).
        height: rows of the image.
        width: columns of the image.
        seed: of the random mask.

    Returns:
        Boolean `(height, width)`, True where the image is MISSING.

    Raises:
        UsageError: no such shape, or numbers that do not fit the image.
    """
    name, _, arguments = spec.partition(":")
    if name == "random":
        return _random(arguments, height=height, width=width, seed=seed)
    if name == "box":
        left, upper, right, lower = _corners(arguments, height=height, width=width)
    elif not arguments and name in ("left", "right", "top", "bottom"):
        left = -(-width // 2) if name == "right" else 0
        right = width // 2 if name == "left" else width
        upper = -(-height // 2) if name == "bottom" else 0
        lower = height // 2 if name == "top" else height
    else:
        raise UsageError(f"no mask {spec!r}; use an image file or one of: {SHAPES}")
    missing = torch.zeros(height, width, dtype=torch.bool)
    missing[upper:lower, left:right] = True
    return missing


def add_noise(x: Tensor, *, noise: float, seed: int = 0) -> Tensor:
    """Adds independent Gaussian noise of standard deviation `noise`; the result is not clipped."""
    generator = torch.Generator().manual_seed(seed)
    return x + noise * torch.randn(x.shape, generator=generator).to(x)


def _random(fraction: str, *, height: int, width: int, seed: int) -> Tensor:
    try:
        probability = float(fraction)
    except ValueError:
        probability = -1.0
    if not 0 <= probability <= 1:
        raise UsageError(
            f"mask random:{fraction} needs a fraction between 0 and 1, such as random:0.95"
        )
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(height, width, generator=generator) < probability


def _corners(arguments: str, *, height: int, width: int) -> tuple[int, int, int, int]:
    if not arguments:
        return width // 4, height // 4, width - width // 4, height - height // 4
    try:
        left, upper, right, lower = (int(part) for part in arguments.split(","))
    except ValueError:
        raise UsageError(
            f"mask box:{arguments} needs four whole numbers, such as box:7,7,21,21"
        ) from None
    if not (0 <= left < right <= width and 0 <= upper < lower <= height):
        raise UsageError(
            f"mask box:{arguments} does not fit an image {width} pixels wide and {height} high; "
            "X0 < X1 and Y0 < Y1 count from the top left corner"
        )
    return left, upper, right, lower
