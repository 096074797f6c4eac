"""Jumps between the components of a posterior that is exactly a mixture of Gaussians."""

import math

import torch
from torch import Tensor

from paecli.restoration.mixture import Mixture
from paecli.restoration.samplers.chains import (
    JUMPS_EVERY,
    LONGEST_STEP,
    Chains,
    _jump,
    run_chains,
    start_chains,
    warm_up,
)

WEIGHTS = (0.6, 0.3, 0.1)
SPREADS = (1.0, 0.5, 2.0)


class ExactMixture:
    """A posterior that is the mixture: with components far apart a jump is always accepted."""

    latent_size = 2
    data = torch.zeros(1, 1, dtype=torch.float64)

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture

    def log_prob_and_gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
        return self.mixture.log_prob(u), self.mixture.gradient(u)

    def log_prob(self, u: Tensor) -> Tensor:
        return self.log_prob_and_gradient(u)[0]

    def select(self, _images: Tensor) -> "ExactMixture":
        return self


def mixture() -> Mixture:
    means = torch.tensor([[[0.0, 0.0], [60.0, 0.0], [0.0, 90.0]]], dtype=torch.float64)
    factors = torch.stack([s * torch.eye(2, dtype=torch.float64) for s in SPREADS])[None]
    factors[..., 1, 0] = 0.3
    log_weights = torch.tensor([WEIGHTS], dtype=torch.float64).log()
    return Mixture(means, factors, log_weights, log_weights)


def chains_in(where: Mixture, component: Tensor) -> Chains:
    standard = torch.randn(*component.shape, 2, dtype=torch.float64)
    u = where.place(standard, component)
    log_prob, gradient = ExactMixture(where).log_prob_and_gradient(u)
    step = torch.full((1, 1), 0.3, dtype=torch.float64)
    return Chains(u, log_prob, gradient, component, step)


def test_every_jump_within_an_exact_mixture_is_accepted() -> None:
    where, component = mixture(), torch.arange(3).repeat(40)[None]
    chains = chains_in(where, component)
    standard = where.standardise_in(chains.u, component)
    after = _jump(ExactMixture(where), where, chains, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    drawn = torch.multinomial(
        where.weights, 120, replacement=True, generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(after.component, drawn)
    torch.testing.assert_close(after.u, where.place(standard, drawn))
    torch.testing.assert_close(after.log_prob, where.log_prob(after.u))
    torch.testing.assert_close(after.gradient, where.gradient(after.u))
    assert after.step is chains.step


def test_a_worse_place_is_refused_as_often_as_its_density_asks() -> None:
    where, component = mixture(), torch.zeros(1, 4000, dtype=torch.long)

    class Lower(ExactMixture):
        def log_prob_and_gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
            log_prob, gradient = super().log_prob_and_gradient(u)
            elsewhere = (u.abs() > 30).any(-1)
            return log_prob - math.log(4) * elsewhere, gradient

    chains = chains_in(where, component)
    after = _jump(Lower(where), where, chains, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    # a quarter of the jumps that leave the first component
    assert abs((after.component != 0).double().mean().item() - 0.4 / 4) < 0.02
    stayed = after.component == 0
    assert (after.log_prob[stayed] > -25).all()


def test_a_place_without_a_density_is_never_taken() -> None:
    where, component = mixture(), torch.zeros(1, 50, dtype=torch.long)

    class Nowhere(ExactMixture):
        def log_prob_and_gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
            log_prob, gradient = super().log_prob_and_gradient(u)
            return log_prob.masked_fill((u.abs() > 30).any(-1), math.nan), gradient

    chains = chains_in(where, component)
    after = _jump(Nowhere(where), where, chains, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    assert (after.component == 0).all()


def test_a_single_component_has_nowhere_to_jump() -> None:
    only = mixture().only_best()
    chains = chains_in(only, torch.zeros(1, 5, dtype=torch.long))
    assert _jump(ExactMixture(only), only, chains, torch.Generator()) is chains  # type: ignore[arg-type]


def test_chains_follow_the_mixture() -> None:
    where = mixture()
    target, generator = ExactMixture(where), torch.Generator().manual_seed(0)
    chains = start_chains(target, where, chains=64, generator=generator)  # type: ignore[arg-type]
    assert chains.u.shape == (1, 64, 2)
    torch.testing.assert_close(chains.log_prob, where.log_prob(chains.u))
    assert chains.step.tolist() == [[LONGEST_STEP / 2]]
    units, chains = warm_up(target, where, chains, generator)  # type: ignore[arg-type]
    assert 0.05 < chains.step.item() <= LONGEST_STEP
    chains, draws, gradients = run_chains(
        target, units, chains, steps=10 * JUMPS_EVERY, generator=generator  # type: ignore[arg-type]
    )  # fmt: skip
    assert draws.shape == gradients.shape == (10 * JUMPS_EVERY, 1, 64, 2)
    torch.testing.assert_close(gradients[-1], where.gradient(chains.u))
    home = (draws.flatten(0, 2).abs() < 30).all(-1)
    assert abs(home.double().mean().item() - WEIGHTS[0]) < 0.08
    near = draws.flatten(0, 2)[home]
    torch.testing.assert_close(near.T.cov(), torch.tensor([[1.0, 0.3], [0.3, 1.09]]).double(),
                               atol=0.15, rtol=0)  # fmt: skip
