"""Tempered Monte Carlo of many latents, which begins at Gaussians about modes."""

from dataclasses import replace
from functools import partial
from math import log, pi

import pytest
import torch
from torch import Tensor

from paecli.model.base_distribution import Base, GaussianMixture, StandardGaussian
from paecli.restoration import solve as solving
from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.mixture import Mixture, build_mixture
from paecli.restoration.modes import finish, laplace_precision
from paecli.restoration.samplers import settle
from paecli.restoration.samplers.prior_pool import Pool, PriorPool
from paecli.restoration.samplers.settle import draw_by_tempering
from paecli.restoration.samplers.tempering import temper_from_modes
from paecli.restoration.solve import draws_needed, modes_of_halves, solve
from paecli.restoration.target import Target

LATENTS, PIXELS, SIGMA = 80, 48, 0.3


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


WEIGHT = torch.randn(LATENTS, PIXELS, generator=seeded(3)) / 8


def linear(u: Tensor) -> Tensor:
    return (u @ WEIGHT).view(-1, 1, 1, PIXELS)


def sided(u: Tensor) -> Tensor:
    """The sign of the first latent shows in half of the values, which are hardly observed."""
    sign = u[:, :1].sign().expand(-1, LATENTS)
    return torch.cat((u[:, :1].square(), u[:, 1:], sign), dim=1).view(-1, 1, 1, 2 * LATENTS)


def space_of(decode: object, base: Base | None = None) -> LatentSpace:
    return LatentSpace(
        decode=decode,
        to_base=lambda w: (w, w.new_zeros(len(w))),
        from_base=lambda u: u,
        base=base or StandardGaussian(LATENTS),
    )


def target_of(decode: object, data: Tensor, variance: Tensor) -> Target:
    return Target(
        generate=decode,
        data=data,
        variance=variance.expand_as(data),
        observed=torch.ones_like(data, dtype=torch.bool),
        latent_size=LATENTS,
        base=StandardGaussian(LATENTS),
    )


def pool_of(target: Target, decode: object) -> PriorPool:
    return PriorPool(
        space_of(decode), like=target.data, populations=2, seed=0, draws=draws_needed(LATENTS)
    )


@pytest.fixture
def linear_target() -> Target:
    truth = torch.randn(1, LATENTS, generator=seeded(1))
    data = linear(truth).flatten(1) + SIGMA * torch.randn(1, PIXELS, generator=seeded(2))
    return target_of(linear, data, torch.tensor(SIGMA**2))


def evidence_of(target: Target) -> float:
    covariance = WEIGHT.T @ WEIGHT + SIGMA**2 * torch.eye(PIXELS)
    marginal = torch.distributions.MultivariateNormal(torch.zeros(PIXELS), covariance)
    return float(marginal.log_prob(target.data).item())


def test_evidence_from_modes_is_that_of_the_linear_case(linear_target: Target) -> None:
    part = pool_of(linear_target, linear).for_image(linear_target, 0)
    mixture = modes_of_halves(linear_target, space_of(linear), None, part, 0)
    twice = linear_target.select(torch.tensor([0, 0]))
    run = temper_from_modes(twice, mixture, size=128, generator=seeded())
    expected = evidence_of(linear_target)
    assert run.log_evidence.tolist() == pytest.approx([expected, expected], abs=0.2)
    assert run.tempers[-1] == 1


def test_evidence_from_a_start_that_is_off_is_that_of_the_linear_case(
    linear_target: Target,
) -> None:
    """Gaussians half a deviation beside the mode: the way has to correct them."""
    part = pool_of(linear_target, linear).for_image(linear_target, 0)
    mixture = modes_of_halves(linear_target, space_of(linear), None, part, 0)
    aside = mixture.factors @ torch.full((LATENTS, 1), 0.2).to(mixture.factors)
    mixture = replace(mixture, means=mixture.means + aside.squeeze(-1))
    twice = linear_target.select(torch.tensor([0, 0]))
    run = temper_from_modes(twice, mixture, size=256, generator=seeded())
    expected = evidence_of(linear_target)
    assert run.log_evidence.tolist() == pytest.approx([expected, expected], abs=0.7)


def test_laplace_evidence_lacks_a_constant_only(linear_target: Target) -> None:
    """Weights of modes leave `k/2 log 2 pi` out, 118 nats for 128 latents, the same for all."""
    modes, levels = finish(linear_target, torch.zeros(1, 1, LATENTS))
    mixture = build_mixture(modes, levels, laplace_precision(linear_target, modes))
    laplace = mixture.log_posteriors + mixture.log_volumes() + 0.5 * LATENTS * log(2 * pi)
    assert laplace.item() == pytest.approx(evidence_of(linear_target), abs=1e-2)


def test_many_latents_settle_at_once_on_the_closed_form(
    linear_target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "temper", None)  # beginning at the prior would fail
    posterior = solve(
        linear_target,
        space_of(linear),
        method="auto",
        starts=8,
        pool=pool_of(linear_target, linear),
        generator=seeded(),
    )
    covariance = torch.linalg.inv(WEIGHT @ WEIGHT.T / SIGMA**2 + torch.eye(LATENTS))
    mean = covariance @ WEIGHT @ linear_target.data[0] / SIGMA**2
    deviation = covariance.diagonal().sqrt()
    points = posterior.draws.points[0]
    assert posterior.passed
    assert ((points.mean(0) - mean) / deviation).square().mean().sqrt() < 0.15
    assert (points.std(0) / deviation).mean().item() == pytest.approx(1, abs=0.05)


def test_a_base_of_narrow_and_wide_gaussians_settles_on_the_closed_form(
    linear_target: Target,
) -> None:
    """The mode lies in the narrow one; most of the posterior does not."""
    weights, scales = torch.tensor([0.5, 0.5]), torch.tensor([0.2, 1.0])
    base = GaussianMixture(2, LATENTS)
    factors = torch.eye(LATENTS) / scales[:, None, None]
    base.set(weights, torch.zeros(2, LATENTS), factors)
    target = replace(linear_target, base=base)
    space = space_of(linear, base)
    part = PriorPool(space, like=target.data, populations=2, seed=0, draws=64).for_image(target, 0)
    mixture = modes_of_halves(target, space, torch.zeros(1, 1, LATENTS), part, 0)
    twice = target.select(torch.tensor([0, 0]))
    run = temper_from_modes(twice, mixture, size=128, generator=seeded())
    marginals = [
        torch.distributions.MultivariateNormal(
            torch.zeros(PIXELS), scale**2 * WEIGHT.T @ WEIGHT + SIGMA**2 * torch.eye(PIXELS)
        ).log_prob(target.data)
        for scale in scales
    ]
    expected = (torch.cat(marginals) + weights.log()).logsumexp(0).item()
    assert run.log_evidence.tolist() == pytest.approx([expected, expected], abs=0.2)


def readings(part: Pool, _: int, *, of_halves: list[list[int]]) -> Mixture:
    """Gaussians at the two readings of a folded image, the same number for each half."""
    means = torch.zeros(2, 2, LATENTS, dtype=torch.float64)
    means[:, :, 0] = 1.5 * torch.tensor(of_halves)
    factor = torch.cat((torch.tensor([0.035]), torch.full((LATENTS - 1,), 0.0995))).double()
    factors = factor.diag().expand(2, 2, -1, -1)
    return Mixture(means, factors, torch.full((2, 2), 0.5).double().log(), torch.zeros(2, 2))


def folded_target(share: float) -> Target:
    lean = 0.25 * torch.tensor(share / (1 - share)).log().item()
    data = torch.cat((torch.zeros(1, LATENTS), torch.full((1, LATENTS), lean)), dim=1)
    data[0, 0] = 2.25
    variance = torch.tensor([0.01, 0.5 * LATENTS]).repeat_interleave(LATENTS)
    return target_of(sided, data, variance)


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_readings_that_both_halves_know_get_their_shares(share: float) -> None:
    target = folded_target(share)
    begin = partial(readings, of_halves=[[1, -1], [1, -1]])
    draws = draw_by_tempering(target, pool_of(target, sided), seeded(), rounds=1, begin=begin)
    assert float((draws.points[0, :, 0] > 0).float().mean()) == pytest.approx(share, abs=0.12)
    assert draws.evidence_gap.item() < 1


def test_halves_that_know_one_reading_each_are_not_trusted() -> None:
    target = folded_target(0.5)
    begin = partial(readings, of_halves=[[1, 1], [-1, -1]])
    draws = draw_by_tempering(target, pool_of(target, sided), seeded(), rounds=2, begin=begin)
    assert draws.evidence_gap.item() < 1.5  # they cannot tell it by their evidences
    assert draws.disagreement.item() > 0.35
    assert not draws.halves_agree.any()


def test_a_half_that_found_the_lesser_reading_shows_by_its_evidence() -> None:
    target = folded_target(0.02)
    begin = partial(readings, of_halves=[[1, 1], [-1, -1]])
    draws = draw_by_tempering(target, pool_of(target, sided), seeded(), rounds=1, begin=begin)
    assert draws.evidence_gap.item() == pytest.approx(log(0.98 / 0.02), abs=0.7)
    assert not draws.halves_agree.any()


def test_searches_of_the_halves_share_nothing() -> None:
    target = folded_target(0.5)
    space, part = space_of(sided), pool_of(target, sided).for_image(target, 0)
    guess = torch.zeros(1, 1, LATENTS)
    guess[0, 0, 0] = 1.4
    found = [modes_of_halves(target, space, each, part, 0) for each in (None, guess)]
    # the number of steps is common to both
    torch.testing.assert_close(found[0].means[1, 0], found[1].means[1, 0], atol=1e-5, rtol=0)
    later = [modes_of_halves(target, space, each, part, 1) for each in (None, guess)]
    assert torch.equal(later[0].means, later[1].means)


def test_where_draws_begin_depends_on_the_number_of_latents() -> None:
    most = solving.MOST_FROM_PRIOR
    assert draws_needed(most) > draws_needed(most + 1) == solving.STARTING_DRAWS
