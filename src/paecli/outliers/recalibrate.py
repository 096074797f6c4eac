"""`pae recalibrate`: p-values measured anew on images of new conditions, without training.

Weights and reference images stay as they are; only the scores that p-values are counted against are
replaced. Conformal p-values need nothing else: against scores of images drawn as the next ones are,
a share of at most `a` of those has a p-value up to `a`, whatever the model makes of them.
"""

from dataclasses import dataclass
from math import floor, sqrt

import torch
from scipy.stats import beta
from torch import Tensor

from paecli.model.model import Model
from paecli.model.requirements import FAST_SCORES, require_recalibration
from paecli.outliers.conformal import p_values
from paecli.outliers.scores import measure_beside, measure_scores
from paecli.system.errors import DataError
from paecli.system.progress import NullProgress, Progress

RATE = 0.05  # at which the state before and after is told
TOO_DIFFERENT = 0.5  # share flagged before, from which on the model does not know such images


@dataclass(frozen=True)
class Recalibration:
    """What was measured.

    Attributes:
        images: how many.
        flagged_before: share of them that the old scores flag at .05, by each score.
        scatter: standard deviation, over draws of so many images, of the share of further ones
            that will be flagged at .05.
        interval: in which that share lies for 95 % of such draws.
    """

    images: int
    flagged_before: dict[str, float]
    scatter: float
    interval: tuple[float, float]


def recalibrate(
    model: Model, images: Tensor, *, score: str, progress: Progress = NullProgress()
) -> Recalibration:
    """Replaces a model's reference scores by those of images of new conditions.

    Args:
        model: both stages, with reference scores; they are replaced.
        images: `(n, c, h, w)` uint8 or float in [0, 1], all good ones.
        score: the one whose flags tell whether the model still knows such images.
        progress: told of every batch.

    Raises:
        DataError: too few images, or most of them are outliers to the model.
    """
    require_recalibration(len(images))
    names = [name for name in FAST_SCORES if name in model.reference_scores]
    measured = measure_scores(model, images, names, progress=progress)
    before = {
        name: (p_values(values, model.reference_scores[name]) <= RATE).double().mean().item()
        for name, values in measured.items()
    }
    if before[score] > TOO_DIFFERENT:
        raise DataError(
            f"{before[score]:.0%} of the images are outliers to this model: it does not know such "
            "images, and would tell little about them; train one on them with `pae train-ae`"
        )
    measured |= measure_beside(model, images)  # so that `pae watch` takes these for usual
    model.reference_scores = {name: torch.sort(values).values for name, values in measured.items()}
    return Recalibration(len(images), before, *_further_rate(len(images)))


def _further_rate(count: int) -> tuple[float, tuple[float, float]]:
    """Returns how the share of further images that is flagged at .05 scatters.

    It is distributed as Beta(k, n + 1 - k), with k of n images having p-values up to the rate
    (Vovk, "Conditional validity of inductive conformal predictors", arXiv:1209.2673).

    Returns:
        Its standard deviation, about, and the interval in which it lies with 95 %.
    """
    flagged = floor(RATE * (count + 1) + 1e-9)
    low, high = beta.ppf((0.025, 0.975), flagged, count + 1 - flagged)
    return sqrt(RATE * (1 - RATE) / (count + 2)), (float(low), float(high))
