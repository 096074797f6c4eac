"""Decoders whose posteriors are not Gaussian."""

import torch
from torch import Tensor

from paecli.model.base_distribution import StandardGaussian
from paecli.restoration.target import Target

PIXELS, SIGMA = 6, 0.4


def curved(u: Tensor) -> Tensor:
    """A decoder `(b, 2) -> (b, 1, 1, 6)` that bends."""
    first, second = u[:, :1], u[:, 1:]
    columns = (first, second, first * second, first.sin(), second.square() / 2, first - second)
    return torch.cat(columns, dim=1).view(-1, 1, 1, PIXELS)


def folded(u: Tensor) -> Tensor:
    """A decoder that cannot tell `u` from `-u` in its first latent."""
    return torch.cat((u[:, :1].square(), u[:, 1:]), dim=1).view(-1, 1, 1, 2)


def target_for(decoder: object, data: Tensor, sigma: float) -> Target:
    return Target(
        generate=decoder,
        data=data,
        variance=torch.full_like(data, sigma**2),
        observed=torch.ones_like(data, dtype=torch.bool),
        latent_size=2,
        base=StandardGaussian(2),
    )
