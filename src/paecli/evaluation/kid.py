"""The kernel distance between feature sets (KID, Binkowski et al., arXiv:1801.01401)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class KernelDistance:
    """A KID with the spread of its subsets.

    Attributes:
        value: mean over subsets of the unbiased squared MMD; may be slightly negative.
        ci: 95 % interval of `value`.
    """

    value: float
    ci: tuple[float, float]


def kernel_distance(
    a: Tensor,
    b: Tensor,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    generator: torch.Generator,
) -> KernelDistance:
    """Estimates the squared maximum mean discrepancy under `k(x, y) = (x.y / d + 1)^3`.

    Args:
        a: features `(n, d)`.
        b: features `(m, d)`.
        subsets: how many random subsets to average over, at least 2.
        subset_size: vectors of each set in a subset; at most half of either set.
        generator: source of randomness.
    """
    size = min(subset_size, len(a) // 2, len(b) // 2)
    values = torch.stack(
        [
            squared_discrepancy(_subset(a, size, generator), _subset(b, size, generator))
            for _ in range(subsets)
        ]
    )
    # subsets overlap once subsets * size > n; the independent ones are at most n / size
    independent = max(1, min(subsets, min(len(a), len(b)) // size))
    half_width = 1.96 * values.std().item() / independent**0.5
    mean = values.mean().item()
    return KernelDistance(mean, (mean - half_width, mean + half_width))


def squared_discrepancy(a: Tensor, b: Tensor) -> Tensor:
    """Returns the unbiased squared MMD of `(n, d)` and `(m, d)` features, a float64 scalar."""
    a, b = a.double(), b.double()
    within = _mean_off_diagonal(_kernel(a, a)) + _mean_off_diagonal(_kernel(b, b))
    return within - 2 * _kernel(a, b).mean()


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _mean_off_diagonal(kernel: Tensor) -> Tensor:
    n = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))


def _subset(features: Tensor, size: int, generator: torch.Generator) -> Tensor:
    return features[torch.randperm(len(features), generator=generator)[:size]]
