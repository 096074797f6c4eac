"""A linear decoder with an identity flow: the posterior is Gaussian and known."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from paecli.model.base_distribution import StandardGaussian
from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.damage import Damage
from paecli.restoration.operators import build_operator

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


def linear_case(
    noise: float | Tensor,
    dtype: torch.dtype = torch.float64,
    *,
    blur: float = 0.0,
    downsample: int = 1,
) -> LinearCase:
    draw = torch.Generator().manual_seed(3)
    pixels, seen = SIDE * SIDE, SIDE // downsample
    weight = 0.05 * torch.randn(LATENT, pixels, generator=draw).to(dtype)
    offset = 0.3 + 0.4 * torch.rand(pixels, generator=draw).to(dtype)
    sigma = 0.02 + 0.05 * torch.rand(1, SIDE, SIDE, generator=draw).to(dtype)
    observed = torch.rand(IMAGES, 1, seen, seen, generator=draw) < 0.5
    u = torch.randn(IMAGES, LATENT, generator=draw).to(dtype)
    operator = build_operator((1, SIDE, SIDE), blur=blur, downsample=downsample)
    a = torch.eye(pixels, dtype=dtype)
    if operator is not None:  # as a matrix, one column for each pixel
        a = operator(torch.eye(pixels, dtype=dtype).view(-1, 1, SIDE, SIDE)).flatten(1).T
    level = torch.as_tensor(noise, dtype=dtype).expand(seen, seen).flatten()
    scale = (a.square() @ sigma.flatten().square() + level**2).sqrt()
    errors = torch.randn(IMAGES, seen * seen, generator=draw).to(dtype)
    data = (u @ weight + offset) @ a.T + scale * errors
    precision, informing = observed.flatten(1) / scale.square(), weight @ a.T
    information = (informing * precision[:, None]) @ informing.T + torch.eye(LATENT, dtype=dtype)
    covariance = torch.linalg.inv(information)
    pull = torch.einsum("kp,np->nk", informing, precision * (data - offset @ a.T))
    mean = torch.einsum("nkl,nl->nk", covariance, pull)
    damage = Damage(data.view(IMAGES, 1, seen, seen), observed, noise, operator)
    return LinearCase(damage, weight, offset, sigma, covariance, mean)


NOISE_MAP = torch.arange(SIDE).expand(SIDE, SIDE) * 0.05  # pixels of the first column are exact

ODD_CASES = {
    "noise map": {"noise": NOISE_MAP},
    "blur": {"noise": 0.02, "blur": 1.2},
    "small": {"noise": 0.0, "downsample": 2},
    "blurred and small": {"noise": 0.1, "blur": 0.8, "downsample": 3},
}


@pytest.fixture(params=[0.0, 0.1])
def linear(request: pytest.FixtureRequest) -> LinearCase:
    return linear_case(request.param)


@pytest.fixture(params=ODD_CASES)
def odd(request: pytest.FixtureRequest) -> LinearCase:
    """Noise that differs between pixels, and images seen through an operator."""
    return linear_case(**ODD_CASES[request.param])
