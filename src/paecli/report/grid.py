"""Images laid out in a grid, as a PNG file in memory; needs no plotting library."""

from io import BytesIO
from math import ceil, sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from paecli.system.outputs import own_mark

MISSING = (86, 180, 233)  # colour of pixels that are NaN: sky blue, which no grey image has
CELL_PIXELS = 64  # smaller images are enlarged, by whole factors, to about this height
GAP = 2  # white pixels between the images of a grid


def image_grid(images: Tensor, *, columns: int | None = None) -> bytes:
    """Lays images out in a grid, pixel for pixel.

    Args:
        images: `(n, c, h, w)` with one or three channels, uint8 or float in [0, 1].
        columns: images in a row; by default the grid is about square.

    Returns:
        A PNG file.
    """
    columns = columns or max(1, ceil(sqrt(len(images))))
    factor = max(1, round(CELL_PIXELS / images.shape[2]))
    tiles = as_pixels(images).repeat(factor, axis=1).repeat(factor, axis=2)
    count, height, width, _ = tiles.shape
    lines = max(1, ceil(count / columns))
    cells = np.full((lines * columns, height + GAP, width + GAP, 3), 255, np.uint8)
    cells[:count, :height, :width] = tiles
    grid = cells.reshape(lines, columns, height + GAP, width + GAP, 3).swapaxes(1, 2)
    grid = grid.reshape(lines * (height + GAP), columns * (width + GAP), 3)[:-GAP, :-GAP]
    buffer = BytesIO()
    Image.fromarray(grid).save(buffer, "png", pnginfo=own_mark())
    return buffer.getvalue()


def as_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Turns images `(n, c, h, w)` into 8-bit RGB, `(n, h, w, 3)`; NaN pixels are sky blue."""
    if images.dtype == torch.uint8:
        images = images.float() / 255
    images = images.detach().cpu().expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
    pixels = (images.nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8)
    missing = images.isnan().any(-1, keepdim=True)
    return torch.where(missing, torch.tensor(MISSING, dtype=torch.uint8), pixels).numpy()
