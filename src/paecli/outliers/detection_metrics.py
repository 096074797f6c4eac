"""How well a score tells outliers from reference images, with bootstrap intervals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

Array = NDArray[np.float64]
Interval = tuple[float, float]

BINS = 1000  # steps of the curves; measured to move an AUROC by 5e-6, an FPR by 2e-3
TRUE_POSITIVE_RATE = 0.95


@dataclass(frozen=True, eq=False)
class DetectionMetrics:
    """Outliers against reference images; outliers are the positive class.

    Attributes:
        auroc: area under the receiver operating characteristic: the chance that an outlier
            scores higher than a reference image.
        aupr: area under the precision-recall curve (average precision); depends on the ratio
            of the numbers of images.
        fpr95: share of reference images flagged at the threshold that flags 95 % of the outliers.
        auroc_ci: central 95 % of bootstrap replicates; likewise the other two.
        curve: false- and true-positive rates of the characteristic.
    """

    auroc: float
    aupr: float
    fpr95: float
    auroc_ci: Interval
    aupr_ci: Interval
    fpr95_ci: Interval
    curve: tuple[Array, Array]


def measure_detection(
    reference: Array, outliers: Array, *, replicates: int = 1000, seed: int = 0
) -> DetectionMetrics:
    """Measures how well scores separate two sets of images.

    Args:
        reference: `(n,)` finite scores of reference images, higher = more unusual.
        outliers: `(m,)` finite scores of outliers.
        replicates: bootstrap draws; both sets are resampled.
        seed: of the draws.
    """
    labels = np.concatenate((np.zeros(len(reference)), np.ones(len(outliers))))
    scores = np.concatenate((reference, outliers))
    # every threshold: points on a straight line are those of tied scores
    false_positive, true_positive, _ = roc_curve(labels, scores, drop_intermediate=False)
    auroc = float(roc_auc_score(labels, scores))
    aupr = float(average_precision_score(labels, scores))
    fpr95 = float(false_positive[_first_enough(true_positive)])
    intervals = _bootstrap(reference, outliers, replicates, np.random.default_rng(seed))
    return DetectionMetrics(
        auroc=auroc,
        aupr=aupr,
        fpr95=fpr95,
        auroc_ci=_around(auroc, intervals[0]),
        aupr_ci=_around(aupr, intervals[1]),
        fpr95_ci=_around(fpr95, intervals[2]),
        curve=(false_positive, true_positive),
    )


def _first_enough(true_positive: Array) -> NDArray[np.intp]:
    """Returns along the last axis the first index that flags enough, but for rounding."""
    return np.asarray(np.argmax(true_positive >= TRUE_POSITIVE_RATE - 1e-9, axis=-1))


def _around(value: float, interval: Interval) -> Interval:
    """Widens an interval by what the bins of its replicates left out."""
    return min(value, interval[0]), max(value, interval[1])


def _bootstrap(
    reference: Array, outliers: Array, replicates: int, random: np.random.Generator
) -> list[Interval]:
    """Returns 95 % intervals of AUROC, average precision and FPR at 95 % TPR.

    Resampling images with replacement makes the counts in fixed bins multinomial, so all
    replicates are drawn as counts at once.
    """
    edges = _bin_edges(np.concatenate((reference, outliers)))
    false_positive = _resampled_rates(reference, edges, replicates, random)
    true_positive = _resampled_rates(outliers, edges, replicates, random)
    gained = np.diff(true_positive, prepend=0.0)
    middle = false_positive - np.diff(false_positive, prepend=0.0) / 2
    auroc = (gained * (1 - middle)).sum(1)
    flagged = true_positive * len(outliers)
    all_flagged = flagged + false_positive * len(reference)
    aupr = (gained * flagged / np.maximum(all_flagged, 1)).sum(1)
    first = _first_enough(true_positive)
    fpr95 = np.take_along_axis(false_positive, first[:, None], axis=1)[:, 0]
    return [_central(values) for values in (auroc, aupr, fpr95)]


def _bin_edges(scores: Array) -> Array:
    unique = np.unique(scores)
    if len(unique) <= BINS:
        return unique
    return np.unique(np.quantile(scores, np.linspace(0, 1, BINS), method="lower"))


def _resampled_rates(
    scores: Array, edges: Array, replicates: int, random: np.random.Generator
) -> Array:
    """Returns for each replicate the share of scores at or above each edge, highest first."""
    bins = np.searchsorted(edges, scores, side="right") - 1
    counts = np.bincount(bins, minlength=len(edges))[::-1]
    drawn = random.multinomial(len(scores), counts / len(scores), size=replicates)
    return drawn.cumsum(1) / len(scores)


def _central(values: Array) -> Interval:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
