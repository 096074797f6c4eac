"""Paints defects on good images, so that a network can learn what defects look like.

The defects are of no kind in particular: spots, clouds, lines and pieces, darker or brighter than
what is around, with its texture, with one from elsewhere, or with none. Textures under random
masks are DRAEM's (Zavrtanik, Kristan & Skočaj, ICCV 2021), pieces from elsewhere CutPaste's (Li
et al., CVPR 2021) and NSA's (Schlüter et al., ECCV 2022), which takes them from other images, too.
Sizes are relative to the shorter side of the image, and painting happens at the image's own size,
so that a painted defect passes through the same scaling as a real one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.float32]  # (c, h, w) in [0, 1]
Plane = NDArray[np.float32]  # (h, w)
T = TypeVar("T")

MOST_DEFECTS = 4  # on one image
CONTRASTS = (0.12, 0.7)  # of the local grey value
RADII = (0.008, 0.08)  # of spots, in shorter sides
LENGTHS = (0.06, 0.6)  # of lines
WIDTHS = (0.8, 4.0)  # of lines, in pixels of an image of 256 pixels
EDGES = (0.3, 1.5)  # standard deviation of the blur of a mask, the same
USUAL_SIDE = 256
TRIES = 10
SMALLEST_CHANGE = 0.03  # of a pixel that counts as defective
FEWEST_PIXELS = 6


@dataclass(frozen=True, eq=False)
class Painted:
    """An image with painted defects.

    Attributes:
        image: `(c, h, w)` float32 in [0, 1].
        defects: `(h, w)` bool, True where the image was changed so much that it can be seen.
        touched: `(h, w)` bool, True where it was changed at all.
    """

    image: Image
    defects: NDArray[np.bool_]
    touched: NDArray[np.bool_]


def paint_defects(image: Image, other: Image, rng: Generator) -> Painted:
    """Paints one to four defects.

    Args:
        image: `(c, h, w)` in [0, 1], good.
        other: `(c, h', w')` in [0, 1], another good image; textures come from both.
        rng: chooses.
    """
    other = other if len(other) == len(image) else other[:1].repeat(len(image), axis=0)
    painted = image
    for _ in range(rng.integers(1, MOST_DEFECTS + 1)):
        painted = _paint_one(painted, other, rng)
    change = np.abs(painted - image).max(0)
    defects = change > SMALLEST_CHANGE
    return Painted(painted, defects, change > SMALLEST_CHANGE / 10)


def _paint_one(image: Image, other: Image, rng: Generator) -> Image:
    """Paints one defect, and tries again while it cannot be seen."""
    for _ in range(TRIES):
        mask = _soften(_pick(rng, SHAPES)(image.shape[1:], rng), rng)
        inside = _pick(rng, FILLS)(image, other, rng)
        painted = image + mask * (inside - image)
        if rng.random() < 0.25:
            painted = painted * (1 + _rim(mask) * _signed(rng, CONTRASTS))
        painted = painted.clip(0, 1).astype(np.float32)
        if (np.abs(painted - image).max(0) > SMALLEST_CHANGE).sum() >= FEWEST_PIXELS:
            return painted
    return image


def _spot(size: tuple[int, int], rng: Generator) -> Plane:
    """Returns an ellipse with an uneven outline."""
    across, along = _around(size, rng)
    along = along / np.float32(rng.uniform(0.3, 1.0))
    order = np.arange(1, 6)
    waves = rng.normal(0, rng.choice([0.02, 0.35]), 5) / order
    phases = rng.uniform(0, 2 * np.pi, 5)
    turn = np.arctan2(along, across)
    outline = 1 + sum(
        a * np.cos(k * turn + p) for a, k, p in zip(waves, order, phases, strict=True)
    )
    radius = max(_log_uniform(rng, RADII) * min(size), 1.3)
    return _inside(radius * outline - np.hypot(across, along))


def _piece(size: tuple[int, int], rng: Generator) -> Plane:
    """Returns a rectangle, turned by any angle."""
    across, along = _around(size, rng)
    half = [max(_log_uniform(rng, RADII) * min(size), 1.3) for _ in range(2)]
    return _inside(np.minimum(half[0] - np.abs(across), half[1] - np.abs(along)))


def _cloud(size: tuple[int, int], rng: Generator) -> Plane:
    """Returns the highest parts of smooth noise, inside a spot."""
    across, along = _around(size, rng)
    reach = rng.uniform(0.05, 0.2) * min(size)
    noise = _smooth_noise(size, rng.uniform(0.02, 0.1) * min(size), rng)
    away = np.hypot(across, along) / np.float32(reach)
    return _inside(3 * (noise - away**2 - np.float32(rng.uniform(-0.5, 0.5))))


def _line(size: tuple[int, int], rng: Generator) -> Plane:
    """Returns a line: straight as a scratch, or winding as a crack."""
    steps = max(round(_log_uniform(rng, LENGTHS) * min(size)), 4) * 2
    turns = rng.normal(0, rng.choice([0.002, 0.02, 0.08, 0.2]), steps)
    course = rng.uniform(0, 2 * np.pi) + turns.cumsum()
    path = np.stack((np.sin(course), np.cos(course))).cumsum(1) / 2
    path += _place(size, rng)[:, None] - path[:, steps // 2, None]
    rows, columns = path.round().astype(int)
    here = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
    away = np.ones(size, dtype=bool)
    away[rows[here], columns[here]] = False
    if away.all():
        return np.zeros(size, dtype=np.float32)
    width = _log_uniform(rng, WIDTHS) * max(min(size) / USUAL_SIDE, 0.5)
    return _inside(width / 2 - ndimage.distance_transform_edt(away))


def _shaded(image: Image, other: Image, rng: Generator) -> Image:
    """Returns the image, darker or brighter."""
    del other
    return image * (1 + _signed(rng, CONTRASTS) * _tint(image, rng))


def _flat(image: Image, other: Image, rng: Generator) -> Image:
    """Returns the image without its texture, darker or brighter, with some grain."""
    del other
    smooth = np.stack([_blur(plane, 0.03 * min(image.shape[1:])) for plane in image])
    grain = _smooth_noise(image.shape[1:], rng.uniform(0.5, 4), rng) * rng.uniform(0, 0.12)
    return smooth * (1 + _signed(rng, CONTRASTS) * _tint(image, rng) + grain)


def _elsewhere(image: Image, other: Image, rng: Generator) -> Image:
    """Returns what the image, or another, has in another place, its grey value fitted or not."""
    source = image if rng.random() < 0.5 else other
    if rng.random() < 0.5:
        source = source.transpose(0, 2, 1)
    source = np.flip(source, axis=int(rng.integers(1, 3)))
    rows, columns = (
        (np.arange(length) + rng.integers(own)) % own
        for length, own in zip(image.shape[1:], source.shape[1:], strict=True)
    )
    moved = source[:, rows[:, None], columns]
    shift = _signed(rng, CONTRASTS) if rng.random() < 0.7 else 0.0
    sigma = 0.05 * min(image.shape[1:])
    light = [_blur(a, sigma) - _blur(b, sigma) for a, b in zip(image, moved, strict=True)]
    fitted: Image = moved + np.stack(light)
    return fitted + shift * np.stack([_blur(plane, sigma) for plane in image])


SHAPES: tuple[tuple[float, Callable[[tuple[int, int], Generator], Plane]], ...] = (
    (0.4, _spot),
    (0.15, _piece),
    (0.2, _cloud),
    (0.25, _line),
)
FILLS: tuple[tuple[float, Callable[[Image, Image, Generator], Image]], ...] = (
    (0.4, _shaded),
    (0.3, _flat),
    (0.3, _elsewhere),
)


def _pick(rng: Generator, choices: Sequence[tuple[float, T]]) -> T:
    chances = [chance for chance, _ in choices]
    return choices[rng.choice(len(choices), p=chances)][1]


def _around(size: tuple[int, int], rng: Generator) -> tuple[Plane, Plane]:
    """Returns coordinates across and along a random direction, from a random place."""
    row, column = _place(size, rng)
    angle = rng.uniform(0, np.pi)
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    rows, columns = rows - row, columns - column
    across = columns * np.cos(angle) + rows * np.sin(angle)
    return across, rows * np.cos(angle) - columns * np.sin(angle)


def _place(size: tuple[int, int], rng: Generator) -> NDArray[np.float64]:
    return rng.uniform(0.02, 0.98, 2) * size


def _smooth_noise(size: tuple[int, ...], scale: float, rng: Generator) -> Plane:
    """Returns noise of three octaves with variance 1; `scale` is the longest, in pixels."""
    total = np.zeros(size, dtype=np.float32)
    for octave in range(3):
        step = max(scale / 2**octave, 1.0)
        coarse = rng.standard_normal([int(length / step) + 3 for length in size])
        fine = ndimage.zoom(coarse.astype(np.float32), step, order=1)
        total += fine[: size[0], : size[1]] / 2**octave
    return total / np.float32(max(total.std(), 1e-6))


def _soften(mask: Plane, rng: Generator) -> Plane:
    return _blur(mask, _log_uniform(rng, EDGES) * min(mask.shape) / USUAL_SIDE)


def _rim(mask: Plane) -> Plane:
    """Returns what lies just outside a mask, at most 1."""
    outside = (_blur(mask, 0.01 * min(mask.shape)) - mask).clip(0)
    rim: Plane = (outside / max(outside.max(), 1e-6)).astype(np.float32)
    return rim


def _blur(plane: Plane, sigma: float) -> Plane:
    blurred: Plane = ndimage.gaussian_filter(plane, sigma, truncate=3)
    return blurred


def _inside(distance: NDArray[np.floating[Any]]) -> Plane:
    """Maps a distance from an outline, positive inside, to a mask with an edge of a pixel."""
    return (distance + 0.5).clip(0, 1).astype(np.float32)


def _tint(image: Image, rng: Generator) -> Image:
    """Returns how much each channel changes, `(c, 1, 1)`: all alike, or not."""
    if len(image) == 1 or rng.random() < 0.5:
        return np.ones((len(image), 1, 1), dtype=np.float32)
    return rng.uniform(-0.5, 1.0, (len(image), 1, 1)).astype(np.float32)


def _signed(rng: Generator, limits: tuple[float, float]) -> float:
    """Draws a size, more often negative: most defects are dark."""
    return _log_uniform(rng, limits) * (-1 if rng.random() < 0.6 else 1)


def _log_uniform(rng: Generator, limits: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))
