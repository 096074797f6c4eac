"""What can be missing from an image, in words; `restoration.masks` makes it a mask."""

from dataclasses import dataclass
from pathlib import Path

from paecli.system.errors import UsageError

SHAPES = "box, left, right, top, bottom, random:FRACTION, box:X0,Y0,X1,Y1"


@dataclass(frozen=True)
class MissingBox:
    """Columns `left` to `right - 1`, rows `upper` to `lower - 1`."""

    left: int
    upper: int
    right: int
    lower: int


@dataclass(frozen=True)
class MissingAtRandom:
    """Each pixel with a probability in [0, 1]."""

    probability: float


NAMES = ("box", "left", "right", "top", "bottom", "random")


def is_mask_folder(spec: str) -> bool:
    """Tells whether `--mask` names a folder of masks; a folder `left` is one as `left/` only."""
    return (spec not in NAMES or spec.endswith("/")) and Path(spec).is_dir()


def parse_mask(spec: str, *, height: int, width: int) -> MissingBox | MissingAtRandom:
    """Reads the description of a mask.

    Args:
        spec: `left`, `right`, `top` or `bottom` (that half), `box` (the central half of
            each side), `box:X0,Y0,X1,Y1` (columns X0 to X1 - 1, rows Y0 to Y1 - 1) or
            `random:FRACTION` (each pixel with that probability).
        height: rows of the image.
        width: columns of the image.

    Raises:
        UsageError: no such shape, or numbers that do not fit the image.
    """
    name, _, arguments = spec.partition(":")
    if name == "random":
        return _random(arguments)
    if name == "box":
        return _corners(arguments, height=height, width=width)
    if arguments or name not in ("left", "right", "top", "bottom"):
        raise UsageError(f"no mask {spec!r}; use an image file or one of: {SHAPES}")
    return MissingBox(
        left=-(-width // 2) if name == "right" else 0,
        upper=-(-height // 2) if name == "bottom" else 0,
        right=width // 2 if name == "left" else width,
        lower=height // 2 if name == "top" else height,
    )


def _random(fraction: str) -> MissingAtRandom:
    try:
        probability = float(fraction)
    except ValueError:
        probability = -1.0
    if not 0 <= probability <= 1:
        raise UsageError(
            f"mask random:{fraction} needs a fraction between 0 and 1, such as random:0.95"
        )
    return MissingAtRandom(probability)


def _corners(arguments: str, *, height: int, width: int) -> MissingBox:
    if not arguments:
        return MissingBox(width // 4, height // 4, width - width // 4, height - height // 4)
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
    return MissingBox(left, upper, right, lower)
