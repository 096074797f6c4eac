"""From decoded pixels to true ones: the last step of the predictive distribution."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from paecli.model.pixel_table import KNOTS, local_variation


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
        """Returns the decoded values `(..., p)` themselves."""
        return decoded

    def variance(self, decoded: Tensor) -> Tensor:
        """Returns `sigma` squared for each of `(..., p)`."""
        return self.sigma.square().expand_as(decoded)

    def draw(self, decoded: Tensor, generator: torch.Generator) -> Tensor:
        """Draws Gaussian values `(..., p)`, clipped to [0, 1]."""
        gaussian = torch.randn(decoded.shape, generator=generator).to(decoded)
        return (decoded + self.sigma * gaussian).clamp(0, 1)


@dataclass(frozen=True)
class TabulatedPixels:
    """True pixels follow tabulated quantiles, linear between knots of the decoded value.

    Attributes:
        edges: `(s - 1,)` edges between strata of the local variation, ascending.
        quantiles: `(s * len(KNOTS), l)` quantiles of the true pixel at levels `(i + 1/2) / l`.
        image_shape: `(c, h, w)`, with `p = c h w`.
    """

    edges: Tensor
    quantiles: Tensor
    image_shape: tuple[int, int, int]

    def mean(self, decoded: Tensor) -> Tensor:
        """Returns the mean of the quantiles at decoded values `(..., p)`."""
        return self._between(self.quantiles.mean(-1), decoded)

    def variance(self, decoded: Tensor) -> Tensor:
        """Returns the variance of the quantiles at decoded values `(..., p)`."""
        squares = self._between(self.quantiles.square().mean(-1), decoded)
        return (squares - self.mean(decoded).square()).clamp_min(0)

    def draw(self, decoded: Tensor, generator: torch.Generator) -> Tensor:
        """Draws a level for each of `(..., p)` and reads off its quantile, rounded to 8 bits."""
        levels = self.quantiles.shape[-1]
        level = torch.randint(levels, decoded.shape, generator=generator).to(decoded.device)
        index, part = self._place(decoded)
        flat = self.quantiles.flatten()
        below, above = flat[index * levels + level], flat[(index + 1) * levels + level]
        return (255 * (below + part * (above - below))).round() / 255

    def _between(self, values: Tensor, decoded: Tensor) -> Tensor:
        """Interpolates `values` `(s * len(KNOTS),)` at decoded ones `(..., p)`."""
        index, part = self._place(decoded)
        return values[index] + part * (values[index + 1] - values[index])

    def _place(self, decoded: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the row of the table below each value, and how far it is to the next."""
        knots, decoded = torch.tensor(KNOTS).to(decoded), decoded.contiguous()
        variation = local_variation(decoded.reshape(-1, *self.image_shape)).view(decoded.shape)
        stratum = torch.bucketize(variation, self.edges)
        knot = torch.bucketize(decoded, knots[1:-1], right=True)
        low, high = knots[knot], knots[knot + 1]
        return stratum * len(KNOTS) + knot, ((decoded - low) / (high - low)).clamp(0, 1)
