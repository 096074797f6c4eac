"""From decoded pixels to true ones: the last step of the predictive distribution."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class PixelModel(Protocol):
    """The distribution of the true pixel given the decoded one."""

    def mean(self, decoded: Tensor) -> Tensor:
        """Returns its mean for decoded values `(..., p)`: the same shape."""

    def variance(self, decoded: Tensor) -> Tensor:
        """Returns its variance for decoded values `(..., p)`: the same shape."""

    def draw(self, decoded: Tensor, generator: torch.Generator) -> Tensor:
        """Draws a true pixel in [0, 1] for each decoded one `(..., p)`."""


@dataclass(frozen=True)
class GaussianPixels:
    """True pixels scatter about decoded ones with standard deviation `sigma` `(p,)`."""

    sigma: Tensor

    def mean(self, decoded: Tensor) -> Tensor:
        """Returns the decoded values themselves."""
        return decoded

    def variance(self, decoded: Tensor) -> Tensor:
        """Returns `sigma` squared."""
        return self.sigma.square().expand_as(decoded)

    def draw(self, decoded: Tensor, generator: torch.Generator) -> Tensor:
        """Draws Gaussian values, clipped to [0, 1]."""
        normal = torch.randn(decoded.shape, generator=generator).to(decoded)
        return (decoded + self.sigma * normal).clamp(0, 1)
