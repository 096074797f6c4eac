"""The Frechet distance between feature sets (FID, Heusel et al., arXiv:1706.08500)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class GaussianStatistics:
    """Mean and covariance of features; the covariance as a factor.

    Attributes:
        mean: `(d,)` float64.
        factor: `(k, d)` float64 with `factor.T @ factor` the unbiased covariance.
        count: how many feature vectors there were.
    """

    mean: Tensor
    factor: Tensor
    count: int


def gaussian_statistics(features: Tensor) -> GaussianStatistics:
    """Summarises features `(n, d)`, n at least 2, by mean and covariance factor.

    The factor comes from the centred features themselves, never from the covariance
    matrix, so that singular covariances (fewer vectors than dimensions, features that
    are always zero) cost no accuracy.
    """
    features = features.double()
    mean = features.mean(0)
    factor = (features - mean) / (len(features) - 1) ** 0.5
    if len(factor) > factor.shape[1]:
        factor = torch.linalg.qr(factor, mode="r").R
    return GaussianStatistics(mean, factor, len(features))


def statistics_of_moments(mean: Tensor, covariance: Tensor) -> GaussianStatistics:
    """Returns statistics of which only mean `(d,)` and covariance `(d, d)` are known, float64.

    Eigenvalues below 0, which rounding leaves, count as 0. `count` is 0: nobody has kept it.
    """
    values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
    factor = values.clamp_min(0).sqrt()[:, None] * vectors.T
    return GaussianStatistics(mean, factor, 0)


def frechet_distance(a: GaussianStatistics, b: GaussianStatistics) -> float:
    """Returns the squared Frechet (2-Wasserstein) distance of two Gaussians.

    `|mean_a - mean_b|^2 + tr A + tr B - 2 tr (A B)^(1/2)` for covariances A and B.
    The eigenvalues of A B are the squared singular values of `factor_a @ factor_b.T`,
    so the last trace is that matrix's nuclear norm: exact, and no matrix square root.
    """
    shift = (a.mean - b.mean).square().sum()
    traces = a.factor.square().sum() + b.factor.square().sum()
    overlap = torch.linalg.svdvals(a.factor @ b.factor.T).sum()
    return max(0.0, float(shift + traces - 2 * overlap))


def frechet_standard_error(
    a: Tensor,
    b: Tensor,
    *,
    resamples: int,
    generator: torch.Generator,
    after_each: Callable[[], None] = lambda: None,
) -> float:
    """Estimates the standard error of the Frechet distance by the bootstrap.

    Only the spread of the resampled distances is used: their mean lies above the
    estimate, since resampling repeats vectors and the distance grows with fewer of them.

    Args:
        a: features `(n, d)`.
        b: features `(m, d)`.
        resamples: how often both sets are drawn anew, at least 2.
        generator: source of randomness.
        after_each: called after each resample.
    """
    distances = []
    for _ in range(resamples):
        drawn = (gaussian_statistics(_resample(features, generator)) for features in (a, b))
        distances.append(frechet_distance(*drawn))
        after_each()
    return torch.tensor(distances, dtype=torch.float64).std().item()


def _resample(features: Tensor, generator: torch.Generator) -> Tensor:
    return features[torch.randint(len(features), (len(features),), generator=generator)]
