"""How well the flow fits the latents, apart from what the decoder makes of them."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from torch import Tensor

BOOTSTRAP = 200  # resamples of an interval
PASSES = 15  # of the classifier over its data: it finds a difference and cannot overfit much


@dataclass(frozen=True)
class TwoSampleTest:
    """Can a classifier tell samples from real latents? (Lopez-Paz & Oquab, arXiv:1610.06545).

    Attributes:
        auroc: area under the ROC curve on held-out vectors; 0.5 is indistinguishable.
        auroc_ci: 95 % bootstrap interval.
        accuracy: fraction of held-out vectors classified right; 0.5 is indistinguishable.
        accuracy_ci: 95 % Wilson interval.
        held_out: how many vectors the figures come from.
    """

    auroc: float
    auroc_ci: tuple[float, float]
    accuracy: float
    accuracy_ci: tuple[float, float]
    held_out: int


@dataclass(frozen=True)
class BaseFit:
    """How close base vectors of real images are to N(0, I); dimensions are worst cases.

    Attributes:
        largest_mean: largest absolute mean of a dimension; 0 is perfect.
        smallest_std: smallest standard deviation of a dimension; 1 is perfect.
        largest_std: largest standard deviation of a dimension.
        largest_skewness: largest absolute skewness of a dimension; 0 is perfect.
        largest_excess_kurtosis: largest absolute excess kurtosis of a dimension.
        largest_correlation: largest absolute correlation of two dimensions.
        largest_ks: largest Kolmogorov-Smirnov statistic of a dimension against N(0, 1).
        ks_p_value: the smallest of their p-values, times the dimensions (Bonferroni).
        radius_ks: Kolmogorov-Smirnov statistic of |u|^2 against chi-squared.
        radius_mean: mean of |u|^2 over the latent size; 1 is perfect, above it the
            test images lie farther out than samples do.
    """

    largest_mean: float
    smallest_std: float
    largest_std: float
    largest_skewness: float
    largest_excess_kurtosis: float
    largest_correlation: float
    largest_ks: float
    ks_p_value: float
    radius_ks: float
    radius_mean: float


def two_sample_test(real: Tensor, generated: Tensor, *, seed: int = 0) -> TwoSampleTest:
    """Trains a small network to tell two sets apart; scores it on vectors it has not seen.

    Args:
        real: `(n, d)`, n at least 10.
        generated: `(m, d)`, m at least 10; the longer set is cut to the shorter one.
        seed: seed of the split, the network and the bootstrap.
    """
    count = min(len(real), len(generated))
    x = torch.cat([real[:count], generated[:count]]).double().cpu().numpy()
    y = np.repeat([0, 1], count)
    shuffled = np.random.default_rng(seed).permutation(2 * count)
    train, held_out = np.array_split(shuffled, 2)
    scaler = StandardScaler().fit(x[train])
    classifier = MLPClassifier((64, 64), batch_size=min(256, count), random_state=seed)
    for _ in range(PASSES):
        classifier.partial_fit(scaler.transform(x[train]), y[train], classes=[0, 1])
    scores = classifier.predict_proba(scaler.transform(x[held_out]))[:, 1]
    right = int(((scores > 0.5) == y[held_out]).sum())
    interval = stats.binomtest(right, len(held_out)).proportion_ci(method="wilson")
    return TwoSampleTest(
        auroc=float(roc_auc_score(y[held_out], scores)),
        auroc_ci=_auroc_interval(y[held_out], scores, seed),
        accuracy=right / len(held_out),
        accuracy_ci=(float(interval.low), float(interval.high)),
        held_out=len(held_out),
    )


def measure_base_fit(u: Tensor) -> BaseFit:
    """Checks base vectors `(n, d)`, n at least 8, against the standard Gaussian."""
    # latents that never vary have neither skewness nor correlation: NaN, and no need to warn
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        return _base_fit(u.double().cpu().numpy())


def _base_fit(values: NDArray[np.float64]) -> BaseFit:
    tests = [stats.kstest(column, "norm") for column in values.T]
    radius = (values**2).sum(1)
    size = values.shape[1]
    return BaseFit(
        largest_mean=float(abs(values.mean(0)).max()),
        smallest_std=float(values.std(0).min()),
        largest_std=float(values.std(0).max()),
        largest_skewness=float(abs(stats.skew(values)).max()),
        largest_excess_kurtosis=float(abs(stats.kurtosis(values)).max()),
        largest_correlation=_largest_correlation(values),
        largest_ks=float(max(test.statistic for test in tests)),
        ks_p_value=min(1.0, size * float(min(test.pvalue for test in tests))),
        radius_ks=float(stats.kstest(radius, stats.chi2(size).cdf).statistic),
        radius_mean=float(radius.mean() / size),
    )


def _largest_correlation(values: NDArray[np.float64]) -> float:
    if values.shape[1] == 1:
        return 0.0
    correlations = np.asarray(np.corrcoef(values, rowvar=False))
    np.fill_diagonal(correlations, 0.0)
    return float(abs(correlations).max())


def _auroc_interval(
    y: NDArray[np.int64], scores: NDArray[np.float64], seed: int
) -> tuple[float, float]:
    """Returns the central 95 % of the AUROC over resamples.

    A resample only changes how often each vector counts, so the scores are ranked once.
    """
    random = np.random.default_rng(seed)
    ranks = np.unique(scores, return_inverse=True)[1]
    values = []
    for _ in range(BOOTSTRAP):
        times = np.bincount(random.integers(len(y), size=len(y)), minlength=len(y))
        ones = np.bincount(ranks, weights=times * y)
        zeros = np.bincount(ranks, weights=times * (1 - y))
        pairs = ones.sum() * zeros.sum()
        if pairs:  # ties count one half
            values.append((ones * (zeros.cumsum() - zeros / 2)).sum() / pairs)
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
