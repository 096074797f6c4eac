"""A linear decoder with an identity flow: the posterior is Gaussian and known."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from paecli.model.base_distribution import StandardGaussian
from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.damage import Damage

SIDE, LATENT, IMAGES = 6, 5, 3


@dataclass
class LinearCase:
    """Damaged images of a linear decoder, and their exact posterior."""

    damage: Damage
    weight: Tensor
    offset: Tensor
    sigma: Tensor
    covariance: Tensor
    mean: Tensor

    def generate(self, u: Tensor) -> Tensor:
        return (u @ self.weight + self.offset).view(-1, 1, SIDE, SIDE)

    def space(self) -> LatentSpace:
        """Latents that are base vectors: an identity flow."""
        return LatentSpace(
            decode=self.generate,
            to_base=lambda w: (w, w.new_zeros(len(w))),
            from_base=lambda u: u,
            base=StandardGaussian(LATENT),
        )

    def pixel_mean(self) -> Tensor:
        return self.generate(self.mean)

    def pixel_std(self) -> Tensor:
        spread = torch.einsum("kp,nkl,lp->np", self.weight, self.covariance, self.weight)
        return (spread.view(-1, 1, SIDE, SIDE) + self.sigma.square()).sqrt()


def linear_case(noise: float, dtype: torch.dtype = torch.float64) -> LinearCase:
    draw = torch.Generator().manual_seed(3)
    pixels = SIDE * SIDE
    weight = 0.05 * torch.randn(LATENT, pixels, generator=draw).to(dtype)
    offset = 0.3 + 0.4 * torch.rand(pixels, generator=draw).to(dtype)
    sigma = 0.02 + 0.05 * torch.rand(1, SIDE, SIDE, generator=draw).to(dtype)
    observed = torch.rand(IMAGES, 1, SIDE, SIDE, generator=draw) < 0.5
    u = torch.randn(IMAGES, LATENT, generator=draw).to(dtype)
    scale = (sigma.flatten().square() + noise**2).sqrt()
    data = u @ weight + offset + scale * torch.randn(IMAGES, pixels, generator=draw).to(dtype)
    precision = observed.flatten(1) / scale.square()
    information = (weight * precision[:, None]) @ weight.T + torch.eye(LATENT, dtype=dtype)
    covariance = torch.linalg.inv(information)
    pull = torch.einsum("kp,np->nk", weight, precision * (data - offset))
    mean = torch.einsum("nkl,nl->nk", covariance, pull)
    damage = Damage(data.view(IMAGES, 1, SIDE, SIDE), observed, noise)
    return LinearCase(damage, weight, offset, sigma, covariance, mean)


@pytest.fixture(params=[0.0, 0.1])
def linear(request: pytest.FixtureRequest) -> LinearCase:
    return linear_case(request.param)
