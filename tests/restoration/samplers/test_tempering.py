"""Tempered Monte Carlo against evidences and posteriors that are known."""

from dataclasses import replace
from statistics import mean

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from paecli.model.base_distribution import StandardGaussian
from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.samplers import emulator, prior_pool, tempering
from paecli.restoration.samplers.prior_pool import Pool, PriorPool
from paecli.restoration.samplers.settle import draw_by_tempering
from paecli.restoration.target import Target

from .posteriors import PIXELS, SIGMA, curved, folded, target_for


@pytest.fixture
def small_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prior_pool, "MOST_DRAWS", 1024)
    monkeypatch.setattr(emulator, "MOST_KNOWN", 128)


def pool_for(target: Target, decode: object, seed: int = 0) -> PriorPool:
    space = LatentSpace(
        decode=decode,
        to_base=lambda w: (w, w.new_zeros(len(w))),
        from_base=lambda u: u,
        base=StandardGaussian(target.latent_size),
    )
    return PriorPool(space, like=target.data, populations=2, seed=seed)


def shifted(u: Tensor) -> Tensor:
    """A linear decoder: three values of two latents."""
    return torch.cat((u, u.sum(1, keepdim=True)), dim=1).view(-1, 1, 1, 3)


def test_evidence_is_that_of_the_linear_case() -> None:
    target = target_for(shifted, torch.tensor([[1.5, -1.0, 0.9]]), 0.1)
    weight = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    marginal = torch.distributions.MultivariateNormal(
        torch.zeros(3), weight.T @ weight + 0.01 * torch.eye(3)
    )
    twice = target.select(torch.tensor([0, 0]))
    part = pool_for(target, shifted).for_image(target, 0)
    found = tempering.temper(twice, part, size=400, generator=torch.Generator().manual_seed(0))
    expected = marginal.log_prob(target.data).item()
    assert found.log_evidence.tolist() == pytest.approx([expected, expected], abs=0.3)
    assert found.tempers[-1] == 1


@pytest.mark.parametrize("share", [0.5, 0.2, 0.05])
def test_readings_of_unequal_weight_get_their_shares(share: float) -> None:
    """A third value tells the sides of a folded latent apart; its likelihood ratio is known."""
    lean = 0.25 * torch.tensor(share / (1 - share)).log().item()

    def sided(u: Tensor) -> Tensor:
        return torch.cat((u[:, :1].square(), u[:, 1:], u[:, :1].sign()), dim=1).view(-1, 1, 1, 3)

    plain = target_for(sided, torch.tensor([[2.25, 0.3, lean]]), 0.1)
    target = replace(plain, variance=torch.tensor([[0.01, 0.01, 0.5]]))
    found = []
    for seed in range(8):
        generator, pool = torch.Generator().manual_seed(seed), pool_for(target, sided, seed)
        draws = draw_by_tempering(target, pool, generator, rounds=1)
        found.append(float((draws.points[0, :, 0] > 0).float().mean()))
    assert mean(found) == pytest.approx(share, abs=0.07)


@pytest.mark.usefixtures("small_pool")
def test_ranks_of_the_truth_are_uniform() -> None:
    """Simulation-based errors (Talts et al., arXiv:1804.06788), 200 posteriors."""
    generator = torch.Generator().manual_seed(1)
    count, bins = 200, 8
    truth = torch.randn(count, 2, generator=generator)
    data = curved(truth).flatten(1) + SIGMA * torch.randn(count, PIXELS, generator=generator)
    target = target_for(curved, data, SIGMA)
    pool = pool_for(target, curved)
    draws = torch.cat(
        [
            draw_by_tempering(target.select(torch.tensor([each])), pool, generator, rounds=1).points
            for each in range(count)
        ]
    )
    for values, true in ((draws, truth), (draws.square(), truth.square())):
        rank = (values < true[:, None]).sum(1)
        slots = rank * bins // (draws.shape[1] + 1)
        for latent in range(2):
            counts = torch.bincount(slots[:, latent], minlength=bins)
            assert chisquare(counts.numpy()).pvalue > 1e-3


def test_two_seeds_agree() -> None:
    target = target_for(folded, torch.tensor([[2.25, 0.3]]), 0.1)
    means, spreads = [], []
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        draws = draw_by_tempering(target, pool_for(target, folded, seed), generator, rounds=4)
        assert draws.halves_agree.all()
        images = target.images(draws.points)[0]
        means.append(images.mean(0))
        spreads.append(images.std(0))
    assert ((means[0] - means[1]) / spreads[0]).abs().max() < 0.35


def test_a_posterior_that_is_not_reached_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempering, "MOST_STAGES", 2)
    target = target_for(curved, torch.full((1, PIXELS), 30.0), 1e-3)
    generator = torch.Generator().manual_seed(0)
    draws = draw_by_tempering(target, pool_for(target, curved), generator, rounds=1)
    assert draws.evidence_gap.isnan().all()
    assert not draws.halves_agree.any()


def test_likelihoods_that_are_all_nan_end_and_are_not_trusted() -> None:
    target = target_for(folded, torch.tensor([[2.25, 0.3]]), 0.1)
    points = torch.zeros(2, 64, 2)
    nan = Pool(points, torch.zeros(2, 64, 2), torch.full((2, 64), torch.nan).double())
    found = tempering.temper(
        target.select(torch.tensor([0, 0])), nan, size=8, generator=torch.Generator().manual_seed(0)
    )
    assert not found.log_evidence.isfinite().any()
