"""Restores images larger than the model's, tile by tile, and blends the answers.

Tiles overlap by a quarter and count with a smooth window. The blended mean is the weighted one; the
variance is the weighted variance about it, so where two tiles disagree it grows (the law of
total variance over which tile is right). Draws are blended so that they have that variance: the
mean of independent ones would have too little.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from paecli.data.images.tiling import Corner, tile_corners
from paecli.model.model import Model
from paecli.restoration.restore import restore_with
from paecli.restoration.result import Diagnostics, Restoration
from paecli.restoration.solve import Method
from paecli.system.errors import UsageError
from paecli.system.progress import NullProgress, Progress

TOGETHER = 24  # tiles that are restored as one batch
LARGEST_DRAWS = 100_000_000  # numbers in all blended draws of an image: 400 MB
FEWEST_DRAWS = 16
MOST_STRETCH = 4.0  # of draws, whose tiles may agree by chance
LEAST_WEIGHT = 1e-3  # of a tile's own edge, which at the image's edge has no other tile


@dataclass(frozen=True, eq=False)
class _Tile:
    corner: Corner
    answer: Restoration


def restore_in_tiles(
    model: Model,
    image: Tensor,
    *,
    observed: Tensor,
    noise: float | Tensor,
    method: Method = "auto",
    samples: int = 64,
    starts: int = 64,
    seed: int = 0,
    progress: Progress = NullProgress(),
) -> Restoration:
    """Restores an image of the model's size or larger; tiles with nothing to restore stay.

    Args:
        model: with both stages trained.
        image: `(c, h, w)` in [0, 1]; what is missing is never looked at.
        observed: `(h, w)` boolean.
        noise: standard deviation, a number or `(c, h, w)`.
        method: see `PAE.restore`, as the others.
        samples: draws to return.
        starts: starting points of the search for modes in each tile.
        seed: of everything random.
        progress: told of every tile.

    Returns:
        The restoration, of the image's size. It has no modes and no place in the base space: each
        tile has its own. `chi2` and `degrees_of_freedom` are sums over tiles, in whose
        overlaps pixels count twice; `diagnostics` are the worst of any tile.

    Raises:
        UsageError: the image is smaller than the model's, or has nothing to restore.
    """
    size = (model.image_shape[1], model.image_shape[2])
    corners = tile_corners((image.shape[1], image.shape[2]), size)
    maps = isinstance(noise, Tensor) and noise.ndim > 0
    noisy = torch.as_tensor(noise).expand_as(image) > 0
    damaged = noisy.any(0) | ~observed
    wanted = [corner for corner in corners if corner.cut(damaged).any()]
    if not wanted:
        raise UsageError("no pixel is missing and there is no noise: nothing to restore")
    tiles: list[_Tile] = []
    with progress.task("restoring tiles", len(wanted)) as task:
        for start in range(0, len(wanted), TOGETHER):
            batch = wanted[start : start + TOGETHER]
            restored = restore_with(
                model,
                torch.stack([corner.cut(image) for corner in batch]),
                mask=torch.stack([corner.cut(observed) for corner in batch]),
                noise=torch.stack([corner.cut(torch.as_tensor(noise)) for corner in batch])
                if maps
                else noise,
                method=method,
                samples=samples,
                starts=starts,
                seed=seed,
            )
            tiles += [_Tile(c, r) for c, r in zip(batch, restored, strict=True)]
            task.advance(len(batch))
    certain = observed.expand_as(image) & ~noisy
    return _blend(tiles, image.masked_fill(~observed, 0.0), certain, len(corners))


def window(height: int, width: int) -> Tensor:
    """Returns how much each pixel of a tile counts, `(h, w)`: most in the middle."""
    rows, columns = (
        torch.sin(math.pi * (torch.arange(side) + 0.5) / side).square() for side in (height, width)
    )
    return (rows[:, None] * columns[None, :]).clamp_min(LEAST_WEIGHT)


def _blend(tiles: Sequence[_Tile], image: Tensor, certain: Tensor, of: int) -> Restoration:
    """Joins the answers; what no tile covers, and what is certain, stays as in the image."""
    weight = torch.zeros(image.shape[1:])
    for tile in tiles:
        tile.corner.cut(weight).add_(window(*tile.answer.std.shape[-2:]))
    covered = weight > 0
    weight = weight.clamp_min(LEAST_WEIGHT)
    mean, square, best = (torch.zeros_like(image) for _ in range(3))
    own = torch.zeros_like(image)  # variance of the weighted mean of independent draws
    for tile in tiles:
        share = window(*tile.answer.std.shape[-2:]) / tile.corner.cut(weight)
        answer = tile.answer
        tile.corner.cut(mean).add_(share * answer.mean)
        tile.corner.cut(best).add_(share * answer.map)
        tile.corner.cut(square).add_(share * (answer.std.square() + answer.mean.square()))
        tile.corner.cut(own).add_(share.square() * answer.std.square())
    variance = (square - mean.square()).clamp_min(0)
    stretch = (variance / own.clamp_min(1e-12)).sqrt().clamp_max(MOST_STRETCH)
    fixed = certain | ~covered
    samples, predictive = (
        _blended_draws(tiles, mean, weight, stretch, kind) for kind in ("samples", "predictive")
    )
    return Restoration(
        map=torch.where(fixed, image, best),
        mean=torch.where(fixed, image, mean),
        std=variance.sqrt().masked_fill(fixed, 0.0),
        samples=torch.where(fixed, image, samples),
        samples_u=torch.zeros(len(samples), 0),
        predictive=torch.where(fixed, image, predictive),
        modes=(),
        chi2=sum(tile.answer.chi2 for tile in tiles),
        degrees_of_freedom=sum(tile.answer.degrees_of_freedom for tile in tiles),
        diagnostics=_worst([tile.answer.diagnostics for tile in tiles]),
        method=", ".join(sorted({tile.answer.method for tile in tiles})),
        note=_note(tiles, of),
        seconds=sum(tile.answer.seconds for tile in tiles),
    )


def _blended_draws(
    tiles: Sequence[_Tile], mean: Tensor, weight: Tensor, stretch: Tensor, kind: str
) -> Tensor:
    """Returns draws `(s, c, h, w)` about the blended mean, with the blended variance."""
    available = min(len(getattr(tile.answer, kind)) for tile in tiles)
    count = min(available, max(LARGEST_DRAWS // mean.numel(), FEWEST_DRAWS))
    deviations = torch.zeros(count, *mean.shape)
    for tile in tiles:
        drawn = getattr(tile.answer, kind)
        chosen = torch.linspace(0, len(drawn) - 1, count).round().long()
        share = window(*drawn.shape[-2:]) / tile.corner.cut(weight)
        tile.corner.cut(deviations).add_(share * (drawn[chosen] - tile.answer.mean))
    return (mean + deviations.mul_(stretch)).clamp(0, 1)


def _worst(all_of_them: Sequence[Diagnostics]) -> Diagnostics:
    def highest(name: str) -> float | None:
        return max(
            (v for each in all_of_them if (v := getattr(each, name)) is not None), default=None
        )

    passed = [each.passed for each in all_of_them if each.passed is not None]
    return Diagnostics(
        pareto_k=highest("pareto_k"),
        rhat=highest("rhat"),
        ess=min(each.ess for each in all_of_them),
        passed=all(passed) if passed else None,
        disagreement=highest("disagreement"),
        evidence_gap=highest("evidence_gap"),
        ancestors=min(
            (each.ancestors for each in all_of_them if each.ancestors is not None), default=None
        ),
    )


def _note(tiles: Sequence[_Tile], of: int) -> str:
    """Says how many tiles were restored, and what to be wary of."""
    sentences = [f"{len(tiles)} of {of} tiles restored"]
    failed = sum(tile.answer.diagnostics.passed is False for tile in tiles)
    if failed:
        sentences.append(f"{failed} did not settle: trust them less")
    empty = sum(tile.answer.method == "prior" for tile in tiles)
    if empty:
        sentences.append(
            f"{empty} lie wholly inside what is missing: there the model makes up each tile by "
            "itself"
        )
    return "; ".join(sentences)
