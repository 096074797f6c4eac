"""What p-values of photographs compare with: maps of images that the model did not learn from.

Cross-conformal (Vovk, "Cross-conformal predictors", 2015): the images are cut into folds of
neighbours, and each fold is scored by a model of the others, fitted like the one that is kept. So
every image is compared with, and every one is learnt from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from paecli.data.images.photographs import neighbouring_folds
from paecli.model.patches.model import (
    PEAK,
    PIXEL,
    TOP,
    PatchPAE,
    enlarge,
    finite,
    image_score,
    rings,
)
from paecli.training.patches.feature_maps import FeatureMap

MOST_IMAGES = 100  # whose scores tell what is usual at which distance from the border
MOST_FOLDS = 10  # each is a training
MOST_PIXELS = 50_000  # whose scores are kept; a pixel's p-value goes down to one in so many

Fit = Callable[[Sequence[FeatureMap]], PatchPAE]


@dataclass(frozen=True, eq=False)
class ReferenceMaps:
    """Scores of images that a model did not learn from.

    Attributes:
        scores: ascending, by name, as `PatchPAE.reference_scores`.
        nll: mean minus log density of their latents, nats.
        painted_auroc: how well the score tells them from the same images with painted defects,
            of a kind like those that were learnt from; None where nothing was painted.
    """

    scores: dict[str, Tensor]
    nll: float
    painted_auroc: float | None = None


def fold_count(held_out: float) -> int:
    """Returns how many folds hold out a fraction each, 2 to 10; `held_out` is in (0, 1)."""
    return min(max(round(1 / held_out), 2), MOST_FOLDS)


def cross_fit(fit: Fit, maps: Sequence[FeatureMap], *, folds: int) -> ReferenceMaps:
    """Scores every image by a model of images from other folds.

    Args:
        fit: trains both stages on images, and measures what is usual.
        maps: of all training images, at least 2.
        folds: how many, at least 2; fewer where there are fewer images.
    """
    collected = _Collected(len(maps))
    for fold in neighbouring_folds(len(maps), folds):
        others = [each for index, each in enumerate(maps) if index not in fold]
        model = fit(others)
        for index in fold:
            collected.add(model, maps[index])
    return collected.result()


def score_held_out(model: PatchPAE, maps: Sequence[FeatureMap]) -> ReferenceMaps:
    """Scores images that nothing was fitted to."""
    collected = _Collected(len(maps))
    for each in maps:
        collected.add(model, each)
    return collected.result()


def measure_usual_scores(model: PatchPAE, maps: Sequence[FeatureMap]) -> None:
    """Sets what scores are compared with, from images the model was trained on.

    Not from others: these must stay as unknown to the model as the images to come.

    Args:
        model: with a flow.
        maps: of images; of many, a hundred are used.
    """
    maps = maps[:: -(-len(maps) // MOST_IMAGES)]
    parts = [model.score_features(each.features) for each in maps]
    scores = [finite(part.surprise + part.energy).flatten() for part in parts]
    ring = [rings(part.surprise.shape).flatten() for part in parts]
    model.fit_usual(torch.cat(scores), torch.cat(ring))


class _Collected:
    """Scores of reference images as they come."""

    def __init__(self, images: int) -> None:
        self.most = max(MOST_PIXELS // images, 1)  # pixels kept of an image
        self.tops: list[float] = []
        self.peaks: list[Tensor] = []
        self.pixels: list[Tensor] = []
        self.painted: list[float] = []
        self.surprise = 0.0

    def add(self, model: PatchPAE, image: FeatureMap) -> None:
        parts = model.score_features(image.features)
        cells = model.compare(parts)
        scores = enlarge(cells, (image.height, image.width))
        self.tops.append(image_score(cells))
        self.peaks.append(scores.max())
        self.pixels.append(evenly_spaced(scores.flatten().sort().values, self.most))
        self.surprise += finite(parts.surprise).mean().item()
        if image.painted is not None:
            painted = model.compare(model.score_features(image.painted.features))
            self.painted.append(image_score(painted))

    def result(self) -> ReferenceMaps:
        scores = {
            TOP: torch.tensor(self.tops).sort().values,
            PEAK: torch.stack(self.peaks).sort().values,
            PIXEL: torch.cat(self.pixels).sort().values,
        }
        found = _auroc(scores[TOP], torch.tensor(self.painted)) if self.painted else None
        return ReferenceMaps(scores, self.surprise / len(self.tops), found)


def _auroc(good: Tensor, painted: Tensor) -> float:
    """Returns the share of pairs in which the painted one scores higher; ties count half."""
    difference = painted[:, None] - good
    return ((difference > 0).double() + 0.5 * (difference == 0)).mean().item()


def evenly_spaced(ascending: Tensor, most: int) -> Tensor:
    """Thins ascending values `(n,)` to at most `most`; the largest is kept."""
    if len(ascending) <= most:
        return ascending
    return ascending[torch.linspace(0, len(ascending) - 1, most).round().long()]
