"""Particles of tempered Monte Carlo, and how they are weighted and resampled."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Particles:
    """Populations of `s` particles for each of `n` targets, equally weighted.

    Attributes:
        points: `(n, s, k)`.
        images: `(n, s, p)` decoded.
        log_likelihood: `(n, s)` in nats.
        log_prior: `(n, s)` in nats.
        prior_gradient: `(n, s, k)`.
        ancestor: `(n, s)` index of the draw from the prior that each descends from.
    """

    points: Tensor
    images: Tensor
    log_likelihood: Tensor
    log_prior: Tensor
    prior_gradient: Tensor
    ancestor: Tensor

    def log_prob(self, temper: float = 1.0) -> Tensor:
        """Returns `log prior + temper * log likelihood`: `(n, s)`."""
        return self.log_prior + temper * self.log_likelihood

    def take(self, index: Tensor) -> "Particles":
        """Returns the particles `index` `(n, m)` of each population, repeats allowed."""
        return Particles(*(take(getattr(self, each.name), index) for each in fields(self)))

    def moved(self, accepted: Tensor, others: "Particles") -> "Particles":
        """Replaces the particles that are `accepted` `(n, s)` by `others`."""
        pairs = ((getattr(others, each.name), getattr(self, each.name)) for each in fields(self))
        return Particles(*(_where(accepted, new, old) for new, old in pairs))


def take(values: Tensor, index: Tensor) -> Tensor:
    """Picks along the second dimension of `(n, s)` or `(n, s, k)` by an index `(n, m)`."""
    return torch.take_along_dim(values, index if values.ndim == 2 else index.unsqueeze(-1), dim=1)


def effective_size(log_weights: Tensor) -> Tensor:
    """Returns `1 / sum of squares` of the normalised weights `(n, s)`: `(n,)` in [1, s].

    Weights that are NaN count as 0; without any other the size is 0.
    """
    weights = log_weights.nan_to_num(nan=-torch.inf).softmax(1)
    return (1 / weights.square().sum(1)).nan_to_num(nan=0.0)


def log_mean_exp(log_weights: Tensor) -> Tensor:
    """Returns the logarithm of the mean weight of `(n, s)`: `(n,)`."""
    count = torch.tensor(float(log_weights.shape[1]), dtype=log_weights.dtype)
    return log_weights.nan_to_num(nan=-torch.inf).logsumexp(1) - count.log()


def resample(log_weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draws `count` indices by weight `(n, s)`, systematically: `(n, count)`.

    A weight that is NaN counts as 0; if all are, each index is as likely as any.
    """
    n, s = log_weights.shape
    weights = log_weights.double().nan_to_num(nan=-torch.inf).softmax(1)
    edges = weights.nan_to_num(nan=1.0).cumsum(1)
    start = torch.rand(n, 1, generator=generator, dtype=torch.float64).to(edges)
    ticks = (start + torch.arange(count).to(edges)) / count * edges[:, -1:]
    return torch.searchsorted(edges, ticks).clamp_max(s - 1)


def _where(accepted: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(accepted if new.ndim == 2 else accepted.unsqueeze(-1), new, old)
