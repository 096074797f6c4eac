"""The prior's draws: a stand-in says about how likely they are, and may be wrong."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from paecli.model.base_distribution import StandardGaussian
from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.samplers.prior_pool import PriorPool, StandIn
from paecli.restoration.samplers.tempering import temper
from paecli.restoration.target import Target

from .posteriors import curved, target_for

WEIGHT = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
DATA = torch.tensor([[1.5, -1.0, 0.9]])


def linear(u: Tensor) -> Tensor:
    return (u @ WEIGHT).view(-1, 1, 1, 3)


def pool_for(target: Target, decode: object) -> PriorPool:
    space = LatentSpace(
        decode, lambda w: (w, w.new_zeros(len(w))), lambda u: u, StandardGaussian(2)
    )
    return PriorPool(space, like=target.data, populations=2, seed=0)


def test_a_stand_in_for_a_linear_decoder_is_nearly_exact() -> None:
    target = target_for(linear, DATA, 0.5)
    points = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    stand_in = StandIn.fit(points, linear(points).flatten(1), generator)
    found = stand_in.log_likelihood(target, stand_in(points))
    exact = target.log_likelihood(linear(points).flatten(1)[None])[0]
    difference = found - exact
    assert difference.std() < 0.02 * exact.std()


def test_a_stand_in_sees_what_is_observed_alone() -> None:
    target = target_for(linear, DATA, 0.5)
    seen = replace(target, observed=torch.tensor([[True, False, True]]))
    points = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    stand_in = StandIn.fit(points, linear(points).flatten(1), torch.Generator().manual_seed(1))
    found = stand_in.log_likelihood(seen, stand_in(points))
    exact = seen.log_likelihood(linear(points).flatten(1)[None])[0]
    assert (found - exact).std() < 0.02 * exact.std()


@pytest.mark.parametrize("factor", [0.2, 1.0, 4.0])
def test_a_wrong_stand_in_costs_draws_and_not_truth(factor: float) -> None:
    """Likelihoods of the pool that are far too soft or too sharp: the evidence stays right."""
    target = target_for(linear, DATA, 0.1)
    marginal = torch.distributions.MultivariateNormal(
        torch.zeros(3), WEIGHT.T @ WEIGHT + 0.01 * torch.eye(3)
    )
    part = pool_for(target, linear).for_image(target, 0)
    wrong = replace(part, log_likelihood=factor * part.log_likelihood)
    twice = target.select(torch.tensor([0, 0]))
    found = temper(twice, wrong, size=300, generator=torch.Generator().manual_seed(0))
    expected = marginal.log_prob(target.data).item()
    assert found.log_evidence.tolist() == pytest.approx([expected, expected], abs=0.4)


def test_a_part_is_the_same_whoever_asks() -> None:
    first, second = (
        target_for(curved, torch.zeros(1, 6), 0.4),
        target_for(curved, torch.ones(1, 6), 0.4),
    )
    pool = pool_for(first, curved)
    pool.for_image(second, 1)
    again = pool_for(first, curved).for_image(first, 1)
    assert torch.equal(pool.for_image(first, 1).points, again.points)
    assert torch.equal(pool.for_image(first, 1).log_likelihood, again.log_likelihood)
