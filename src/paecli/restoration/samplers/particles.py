"""Particles of tempered Monte Carlo, and how they are weighted and resampled.

They follow `start^(1 - b) (prior * likelihood)^b`, which begins at a density that can be drawn
from: the prior itself, or Gaussians at modes.
"""

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
        log_start: `(n, s)` log density that the way begins at, in nats; the prior's own or
            another.
        start_gradient: `(n, s, k)`.
        ancestor: `(n, s)` index of the draw that each descends from.
    """

    points: Tensor
    images: Tensor
    log_likelihood: Tensor
    log_prior: Tensor
    prior_gradient: Tensor
    log_start: Tensor
    start_gradient: Tensor
    ancestor: Tensor

    @property
    def gain(self) -> Tensor:
        """`(n, s)`: log prior and likelihood together, less the log density of the start."""
        return self.with_likelihood(self.log_likelihood)

    def with_likelihood(self, log_likelihood: Tensor) -> Tensor:
        """Returns the gain `(n, s)` if that were the log likelihood."""
        # 0, to the bit, where the way begins at the prior
        return (self.log_prior - self.log_start) + log_likelihood

    def log_prob(self, temper: float) -> Tensor:
        """Returns the log density that is followed at a temper: `(n, s)`."""
        return self.log_start + temper * self.gain

    def force(self, temper: float, likelihood_gradient: Tensor) -> Tensor:
        """Returns the gradient of that density, `(n, s, k)`, from that of the likelihood."""
        beyond = (self.prior_gradient - self.start_gradient) + likelihood_gradient
        return self.start_gradient + temper * beyond

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
