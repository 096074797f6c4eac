"""The kernel distance between feature sets (KID, Binkowski et al., arXiv:1801.01401).

All pairs are used, once each: the mean of many random subsets, as the paper takes it, estimates the
same number with more scatter, and multiplies some matrices hundreds of times.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

ROWS = 1000  # the matrix of all pairs is never held at once


@dataclass(frozen=True)
class KernelDistance:
    """A KID with its interval.

    Attributes:
        value: the unbiased squared MMD of all pairs; may be slightly negative.
        ci: 95 % interval of `value`.
    """

    value: float
    ci: tuple[float, float]


def kernel_distance(a: Tensor, b: Tensor, *, within_a: Tensor | None = None) -> KernelDistance:
    """Estimates the squared maximum mean discrepancy under `k(x, y) = (x.y / d + 1)^3`.

    The interval comes from how much each vector moves the estimate (the first-order projection of
    a U-statistic: Hoeffding 1948; Gretton et al., JMLR 13 (2012) 723, theorem 8). Between equal
    distributions it is too wide by about a third.

    Args:
        a: features `(n, d)`, n at least 2.
        b: features `(m, d)`, m at least 2.
        within_a: `mean_kernel(a)`, where one set is compared with several.
    """
    to_own = (mean_kernel(a) if within_a is None else within_a, mean_kernel(b))
    to_other = _mean_kernel_between(a, b)
    pull = [own - other for own, other in zip(to_own, to_other, strict=True)]
    value = sum(each.mean().item() for each in pull)
    # each vector stands in both places of a pair, hence twice its pull
    variance = sum(4 * each.var().item() / len(each) for each in pull)
    half_width = 1.96 * variance**0.5
    return KernelDistance(value, (value - half_width, value + half_width))


def mean_kernel(features: Tensor) -> Tensor:
    """Returns the mean kernel of each vector with all others of its set.

    Args:
        features: `(n, d)`, n at least 2.

    Returns:
        `(n,)` float64.
    """
    sums = features.new_zeros(len(features), dtype=torch.float64)
    for start in range(0, len(features), ROWS):
        # the matrix is symmetric: columns before the strip are known from earlier strips
        kernel = _kernel(features[start : start + ROWS], features[start:])
        kernel.diagonal().zero_()
        rows = len(kernel)
        sums[start : start + rows] += kernel.sum(1, dtype=torch.float64)
        sums[start + rows :] += kernel[:, rows:].sum(0, dtype=torch.float64)
    return sums / (len(features) - 1)


def _mean_kernel_between(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the mean kernel of each vector with all of the other set: `(n,)` and `(m,)`."""
    of_a: list[Tensor] = []
    of_b = b.new_zeros(len(b), dtype=torch.float64)
    for rows in a.split(ROWS):
        kernel = _kernel(rows, b)
        of_a.append(kernel.mean(1, dtype=torch.float64))
        of_b += kernel.sum(0, dtype=torch.float64)
    return torch.cat(of_a), of_b / len(a)


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T).div_(a.shape[1]).add_(1).pow_(3)
