"""A flow whose base has clusters: with a linear decoder the posterior is a known mixture."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from paecli.model.base_distribution import GaussianMixture
from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.damage import Damage
from paecli.restoration.pixel_model import GaussianPixels
from paecli.restoration.restore import build_target, restore_images
from paecli.restoration.result import Restoration
from paecli.restoration.solve import find_modes

PIXELS, LATENT, SIGMA = 9, 2, 0.05
CENTRES = torch.tensor([[-2.0, 0.2], [2.0, 0.2]]).double()
SPREAD = 0.4


@dataclass
class Case:
    """One damaged image that both clusters explain equally well.

    Attributes:
        means: `(2, k)` of the posterior's two Gaussians.
        shares: `(2,)` their weights, which are those of the clusters.
    """

    weight: Tensor
    damage: Damage
    means: Tensor
    shares: Tensor

    def decode(self, u: Tensor) -> Tensor:
        return (0.5 + u @ self.weight).view(-1, 1, 3, 3)

    def space(self) -> LatentSpace:
        base = GaussianMixture(2, LATENT).double()
        factors = torch.eye(LATENT).double().repeat(2, 1, 1) / SPREAD
        base.set(self.shares, CENTRES, factors)
        return LatentSpace(self.decode, lambda w: (w, w.new_zeros(len(w))), lambda u: u, base)

    def mean(self) -> Tensor:
        return self.decode(self.shares[None] @ self.means)[0]


@pytest.fixture(params=[0.5, 0.2])
def case(request: pytest.FixtureRequest) -> Case:
    weight = torch.zeros(LATENT, PIXELS).double()
    weight[0, :4], weight[1, 4:] = 0.08, 0.06
    observed = torch.arange(PIXELS) >= 3  # one pixel is left that tells of the first latent
    seen = weight[:, observed]
    data = 0.5 + torch.tensor([0.0, 0.3]).double() @ weight
    precision = seen @ seen.T / SIGMA**2
    pull = seen @ (data[observed] - 0.5) / SIGMA**2
    covariance = torch.linalg.inv(precision + torch.eye(LATENT) / SPREAD**2)
    means = (pull + CENTRES / SPREAD**2) @ covariance
    damage = Damage(data.view(1, 1, 3, 3), observed.view(1, 1, 3, 3), 0.0)
    shares = torch.tensor([request.param, 1 - request.param]).double()
    return Case(weight, damage, means, shares)


def test_modes_and_their_weights_are_exact(case: Case) -> None:
    target = build_target(
        case.damage,
        space=case.space(),
        latent_size=LATENT,
        sigma=torch.full((1, 3, 3), SIGMA).double(),
        inflation=torch.ones(1).double(),
    )
    mixture = find_modes(target, starts=64, generator=torch.Generator().manual_seed(0))
    order = mixture.means[0, :, 0].argsort()
    torch.testing.assert_close(mixture.means[0, order], case.means, atol=1e-3, rtol=0)
    torch.testing.assert_close(mixture.weights[0, order], case.shares, atol=1e-3, rtol=0)


@pytest.mark.parametrize("method", ["mixture", "is", "hmc", "smc"])
def test_mean_of_every_sampling_method_is_exact(case: Case, method: str) -> None:
    (result,) = restored(case, method)
    hidden = ~case.damage.observed[0]
    # as many draws as there are leave the share of a mode uncertain by a few per cent
    torch.testing.assert_close(result.mean[hidden], case.mean()[hidden], atol=0.02, rtol=0)


def test_nothing_observed_gives_the_base(case: Case) -> None:
    blank = Damage(case.damage.data, torch.zeros(1, 1, 3, 3, dtype=torch.bool), 0.0)
    (result,) = restore_images(blank, samples=256, starts=8, method="auto", **arguments(case))
    left = (result.samples_u[:, 0] < 0).double().mean()
    assert abs(left - case.shares[0]) < 0.1


def restored(case: Case, method: str) -> list[Restoration]:
    return restore_images(case.damage, samples=64, starts=64, method=method, **arguments(case))


def arguments(case: Case) -> dict[str, Any]:
    return {
        "space": case.space(),
        "latent_size": LATENT,
        "sigma": torch.full((1, 3, 3), SIGMA).double(),
        "inflation": torch.ones(1).double(),
        "pixels": GaussianPixels(torch.full((PIXELS,), SIGMA).double()),
    }
