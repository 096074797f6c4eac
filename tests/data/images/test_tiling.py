"""Tiles cover an image, overlap enough, and lie inside it."""

from itertools import pairwise

import pytest
import torch

from paecli.data.images.tiling import tile_corners
from paecli.system.errors import UsageError


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("size", [(28, 28), (29, 28), (100, 61), (57, 300), (84, 84)])
def test_tiles_cover_the_image(size: tuple[int, int], overlap: float) -> None:
    corners = tile_corners(size, (28, 28), overlap=overlap)
    count = torch.zeros(size)
    for corner in corners:
        tile = corner.cut(count)
        assert tile.shape == (28, 28)
        tile += 1
    assert count.min() >= 1
    lefts = sorted({corner.left for corner in corners})
    steps = [after - before for before, after in pairwise(lefts)]
    assert max(steps, default=0) <= 28 - round(28 * overlap)
    assert len(corners) == len(set(corners))


def test_no_tile_too_many() -> None:
    assert len(tile_corners((84, 56), (28, 28), overlap=0)) == 6
    assert len(tile_corners((28, 28), (28, 28))) == 1


def test_smaller_images_have_no_tiles() -> None:
    with pytest.raises(UsageError, match="20 x 40 pixels, a tile 28 x 28"):
        tile_corners((40, 20), (28, 28))
