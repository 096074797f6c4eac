"""Where tiles lie in a larger image: an even grid that covers it, with overlaps."""

import math
from typing import NamedTuple, TypeVar

from paecli.system.errors import UsageError

OVERLAP = 0.25  # of a tile's side, at least, that it shares with its neighbour

Values = TypeVar("Values")  # a tensor or array


class Corner(NamedTuple):
    """A tile: its first row and column, and its height and width."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, values: Values) -> Values:
        """Returns the tile of `(..., h, w)` values, as a view; of a number the number."""
        if not getattr(values, "ndim", 0):
            return values
        rows = slice(self.top, self.top + self.height)
        columns = slice(self.left, self.left + self.width)
        tile: Values = values[..., rows, columns]  # type: ignore[index]
        return tile


def tile_corners(
    size: tuple[int, int], tile: tuple[int, int], *, overlap: float = OVERLAP
) -> list[Corner]:
    """Lays tiles over an image, row by row.

    Args:
        size: `(height, width)` of the image.
        tile: `(height, width)` of a tile.
        overlap: the least part of its side that a tile shares with its neighbours.

    Raises:
        UsageError: the image is smaller than a tile.
    """
    if size[0] < tile[0] or size[1] < tile[1]:
        raise UsageError(
            f"the image has {size[1]} x {size[0]} pixels, a tile {tile[1]} x {tile[0]}; "
            "tiles need an image that is as large"
        )
    tops, lefts = (
        _starts(length, side, round(overlap * side))
        for length, side in zip(size, tile, strict=True)
    )
    return [Corner(top, left, *tile) for top in tops for left in lefts]


def _starts(length: int, side: int, shared: int) -> list[int]:
    """Returns evenly spaced starts, the first 0 and the last `length - side`."""
    steps = math.ceil((length - side) / max(side - shared, 1))
    return [round(step * (length - side) / max(steps, 1)) for step in range(steps + 1)]
