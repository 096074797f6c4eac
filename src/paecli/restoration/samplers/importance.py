"""Pareto-smoothed importance sampling.

Vehtari, Simpson, Gelman, Yao & Gabry, "Pareto smoothed importance sampling",
arXiv:1507.02646; the tail fit is of Zhang & Stephens, Technometrics 51 (2009) 316.
"""

from math import ceil, sqrt

import torch
from torch import Tensor

from paecli.restoration.mixture import Mixture
from paecli.restoration.target import Target

SMALLEST_TAIL = 5


@torch.no_grad()
def log_ratios(target: Target, proposal: Mixture, points: Tensor) -> Tensor:
    """Returns the log of target over proposal density at `(n, s, k)`, `(n, s)` in float64."""
    log_target = target.log_prob(points.to(target.data)).double()
    return (log_target - proposal.log_prob(points)).nan_to_num(nan=-torch.inf)


def pareto_smooth(log_ratios: Tensor) -> tuple[Tensor, float]:
    """Replaces the largest importance ratios by the quantiles of a fitted Pareto tail.

    Args:
        log_ratios: `(s,)` log of target over proposal density, up to a constant.

    Returns:
        `(s,)` normalised weights, and the tail's shape k: below 0.7 the weighted
        averages can be relied on; infinite when there are too few draws to tell.
    """
    ratios = (log_ratios.double() - log_ratios.max().double()).exp()
    size = min(len(ratios) // 5, ceil(3 * sqrt(len(ratios))))
    if size < SMALLEST_TAIL:
        return ratios / ratios.sum(), float("inf")
    ordered, order = ratios.sort()
    threshold = ordered[-size - 1]
    excess = ordered[-size:] - threshold
    if excess[-1] <= 1e-10:  # all ratios alike: the proposal is the target
        return ratios / ratios.sum(), 0.0
    shape, scale = fit_pareto(excess.clamp_min(1e-300))
    ranks = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    smoothed = threshold + pareto_quantile(ranks, shape=shape, scale=scale)
    ratios = ratios.index_put((order[-size:],), smoothed.clamp_max(ordered[-1]))
    return ratios / ratios.sum(), shape


def fit_pareto(excess: Tensor) -> tuple[float, float]:
    """Fits a generalised Pareto distribution to sorted positive excesses `(m,)`.

    Returns:
        Shape k (drawn a little towards 0.5, as if 10 more points had it) and scale.
    """
    m = len(excess)
    grid = 30 + int(sqrt(m))
    quartile = excess[max(0, int(m / 4 + 0.5) - 1)]
    steps = torch.arange(1, grid + 1, dtype=torch.float64)
    theta = 1 / excess[-1] + (1 - (grid / (steps - 0.5)).sqrt()) / (3 * quartile)
    shapes = torch.log1p(-theta[:, None] * excess).mean(1)
    profile = m * ((-theta / shapes).log() - shapes - 1)
    average = (profile.softmax(0) * theta).sum()
    shape = torch.log1p(-average * excess).mean()
    scale = -shape / average
    return float((m * shape + 10 * 0.5) / (m + 10)), float(scale)


def pareto_quantile(probability: Tensor, *, shape: float, scale: float) -> Tensor:
    """Returns quantiles of the generalised Pareto distribution with location 0."""
    if abs(shape) < 1e-12:
        return -scale * torch.log1p(-probability)
    return scale / shape * torch.expm1(-shape * torch.log1p(-probability))
