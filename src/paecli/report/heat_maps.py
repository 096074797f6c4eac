"""Heat maps: where images are unusual, laid over them, on one scale; and the folder of them."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor

from paecli.outliers.map_images import ImageMap
from paecli.report.grid import as_pixels
from paecli.report.map_places import SCALE, TABLE, map_names
from paecli.report.plots import to_png
from paecli.system.csv_text import csv_text
from paecli.system.files import write_atomically
from paecli.system.outputs import own_mark

COLOURS = "inferno"
LEAST, MOST = 1.0, 4.0  # -log10 of the p-values at the ends of the scale: .1 and .0001
COVER = 0.65  # how much the strongest colour hides of the image
COLUMNS = ("path", "left", "top", "right", "bottom", "area", "p_value")  # of the table of regions
OUTLINE = (0, 255, 255)  # cyan, which neither grey images nor the scale have
QUICK = 1  # zlib level: three times as fast as usual, for files a tenth larger


class MapFolder:
    """Writes heat maps as they come, and the table of regions at the end."""

    def __init__(self, folder: Path, images: Sequence[Path]) -> None:
        """Takes the folder and all images that may come."""
        self.folder = folder
        self.names = map_names(images)
        self.rows: list[tuple[object, ...]] = []

    def write(self, found: ImageMap) -> None:
        """Writes the heat map of an image.

        Raises:
            WriteError: the folder cannot be written.
        """
        write_atomically(self.folder / self.names[found.path], heat_map(found))
        for region in found.regions:
            self.rows.append((found.path, *region.box, region.area, region.p_value))

    def close(self) -> None:
        """Writes the scale and the table."""
        write_atomically(self.folder / SCALE, scale_picture())
        write_atomically(self.folder / TABLE, csv_text(COLUMNS, self.rows))


def heat_map(found: ImageMap) -> bytes:
    """Lays the p-values of the pixels over an image and outlines its regions.

    The scale is the same whatever the image: pixels as usual as those of reference images stay as
    they are, and full colour means that one pixel in 10,000 of reference images is like this.

    Returns:
        A PNG file of the image's own size.
    """
    pixels = as_pixels(found.image[None])[0].astype(np.float32)
    strength = _strength(found.p_values)
    colours = colormaps[COLOURS](strength)[..., :3] * 255
    cover = COVER * strength[..., None]
    mixed = (pixels * (1 - cover) + colours * cover).round().astype(np.uint8)
    mixed[_outline(found.inside)] = OUTLINE
    buffer = BytesIO()
    Image.fromarray(mixed).save(buffer, "png", pnginfo=own_mark(), compress_level=QUICK)
    return buffer.getvalue()


def scale_picture() -> bytes:
    """Draws the scale of the heat maps; returns a PNG file."""
    figure = Figure(figsize=(4, 0.9))
    axes = figure.add_axes((0.05, 0.55, 0.9, 0.3))
    axes.imshow(np.linspace(0, 1, 256)[None], COLOURS, aspect="auto", extent=(-LEAST, -MOST, 0, 1))
    ticks = np.arange(-LEAST, -MOST - 1, -1)
    axes.set_xticks(ticks, [f"{10.0**tick:g}" for tick in ticks])
    axes.set_yticks([])
    axes.set_xlabel("p-value of a pixel against those of reference images")
    return to_png(figure)


def _strength(p_values: Tensor) -> NDArray[np.float32]:
    """Maps p-values to [0, 1] along the scale."""
    exponent = -torch.log10(p_values)
    return ((exponent - LEAST) / (MOST - LEAST)).clamp(0, 1).float().numpy()


def _outline(inside: Tensor) -> NDArray[np.bool_]:
    """Returns the pixels just outside regions, which hides nothing of what is in them."""
    region = inside.numpy()
    return np.asarray(ndimage.binary_dilation(region, np.ones((3, 3))) & ~region)
