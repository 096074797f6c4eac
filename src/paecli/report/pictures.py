"""Pictures made of images: rows to compare, restorations; as PNG files in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from paecli.report.grid import as_pixels
from paecli.report.plots import to_png

CELL_INCHES = 0.85  # the images of a comparison, across
GAP_INCHES, MARGIN_INCHES, LABEL_INCHES, BAR_INCHES = 0.08, 0.08, 1.35, 0.75
COLOUR_MAPS = {"signed": "PuOr", "positive": "viridis"}  # both safe for colour-blind readers


@dataclass(frozen=True)
class Row:
    """One row of a comparison.

    Attributes:
        label: what is shown, and the unit of a map.
        images: `(n, c, h, w)`, uint8 or float in [0, 1], NaN where a pixel is missing;
            for maps any float, averaged over the channels.
        kind: `image`; `signed`, a map that is white at 0; or `positive`, a map from 0 up.
    """

    label: str
    images: Tensor
    kind: Literal["image", "signed", "positive"] = "image"


def reconstructions(originals: Tensor, restored: Tensor, title: str = "") -> bytes:
    """Shows images, their reconstructions and the difference, one column an image.

    Args:
        originals: `(n, c, h, w)` in [0, 1] or uint8.
        restored: their reconstructions, in the same shape.
        title: heading of the picture.

    Returns:
        A PNG file.
    """
    return comparison(_with_residual(originals, restored), title=title)


def unusual_images(
    originals: Tensor, restored: Tensor, captions: Sequence[str], title: str = ""
) -> bytes:
    """Shows the most unusual images, what the model makes of them, and where they differ.

    Args:
        originals: `(n, c, h, w)` in [0, 1] or uint8, most unusual first.
        restored: their reconstructions, in the same shape.
        captions: one short text an image, such as its p-value.
        title: heading of the picture.

    Returns:
        A PNG file.
    """
    return comparison(_with_residual(originals, restored), captions=captions, title=title)


def path_picture(ends: Tensor, frames: Tensor) -> bytes:
    """Shows the way from one image to another, between the two images themselves.

    Args:
        ends: `(2, c, h, w)`, the images A and B.
        frames: `(steps, c, h, w)`, from A's reconstruction to B's; at least 2.

    Returns:
        A PNG file.
    """
    percent = [f"{100 * step / (len(frames) - 1):.0f} %" for step in range(len(frames))]
    images = torch.cat((ends[:1], frames, ends[1:]))
    return comparison([Row("from A to B", images)], captions=["A", *percent, "B"])


def comparison(rows: Sequence[Row], *, captions: Sequence[str] = (), title: str = "") -> bytes:
    """Shows rows of images above each other, each with its label; maps have a colour bar.

    Args:
        rows: at least one; all with the same number of images.
        captions: a text above each column.
        title: heading of the picture.

    Returns:
        A PNG file.
    """
    count, _, height, width = rows[0].images.shape
    row_inches = CELL_INCHES * height / width + GAP_INCHES
    above = MARGIN_INCHES + 0.35 * bool(title) + 0.25 * bool(captions)
    right = LABEL_INCHES + count * CELL_INCHES
    bars = any(row.kind != "image" for row in rows)
    page = _Inches(right + (BAR_INCHES if bars else MARGIN_INCHES), above + len(rows) * row_inches)
    for index, row in enumerate(rows):
        top, tall = above + index * row_inches, row_inches - GAP_INCHES
        axes = page.add_axes(LABEL_INCHES, top, right - LABEL_INCHES, tall)
        bar = None if row.kind == "image" else page.add_axes(right + 0.08, top, 0.1, tall)
        _draw(row, axes, bar)
    for index, caption in enumerate(captions):
        page.write(LABEL_INCHES + (index + 0.5) * CELL_INCHES, above - 0.11, caption, "x-small")
    if title:
        page.write(page.width / 2, 0.25, title, "large", weight="bold")
    return to_png(page.figure)


class _Inches:
    """A figure addressed in inches from its upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height))

    def add_axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Adds axes that fill a box."""
        bottom = self.height - top - height
        scaled = (left / self.width, bottom / self.height)
        return self.figure.add_axes((*scaled, width / self.width, height / self.height))

    def write(self, x: float, y: float, text: str, size: str, *, weight: str = "normal") -> None:
        """Writes a text centred on a point."""
        place = (x / self.width, 1 - y / self.height)
        self.figure.text(*place, text, size=size, weight=weight, ha="center", va="center")


def _with_residual(originals: Tensor, restored: Tensor) -> list[Row]:
    scaled = originals.float() / 255 if originals.dtype == torch.uint8 else originals
    return [
        Row("original", originals),
        Row("reconstruction", restored),
        Row("original −\nreconstruction", scaled - restored, "signed"),
    ]


def _draw(row: Row, axes: Axes, bar: Axes | None) -> None:
    axes.set_axis_off()
    axes.text(-3, row.images.shape[2] / 2, row.label, ha="right", va="center")
    if bar is None:
        axes.imshow(_strip(as_pixels(row.images), 255), interpolation="nearest")
        return
    values = row.images.detach().cpu().float().mean(1).numpy()
    top = float(np.nanmax(np.abs(values))) or 1.0
    low = -top if row.kind == "signed" else 0.0
    strip = _strip(values, np.nan)
    shown = axes.imshow(strip, COLOUR_MAPS[row.kind], vmin=low, vmax=top, interpolation="nearest")
    bar.figure.colorbar(shown, cax=bar, ticks=MaxNLocator(3))


def _strip(tiles: NDArray[Any], fill: float) -> NDArray[Any]:
    """Puts tiles `(n, h, w, ...)` side by side, one pixel of `fill` between them."""
    gaps = [(0, 0), (0, 0), (0, 1)] + [(0, 0)] * (tiles.ndim - 3)
    return np.concatenate(list(np.pad(tiles, gaps, constant_values=fill)), axis=1)[:, :-1]
