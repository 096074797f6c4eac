"""Bases of flows: density, derivatives and draws against torch's own distributions."""

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from paecli.model.base_distribution import (
    GaussianMixture,
    StandardGaussian,
    build_base,
    standard_gaussian_log_prob,
)
from paecli.system.errors import TrainingError
from paecli.training.mixture_fit import fit_mixture

SIZE, COMPONENTS = 3, 4


def mixture() -> tuple[GaussianMixture, MixtureSameFamily]:
    """A mixture, and torch's of the same weights, means and covariances."""
    draw = torch.Generator().manual_seed(0)
    weights = torch.rand(COMPONENTS, generator=draw).double() + 0.2
    means = 6 * torch.randn(COMPONENTS, SIZE, generator=draw).double()
    factors = torch.randn(COMPONENTS, SIZE, SIZE, generator=draw).double().triu(1)
    factors = factors + torch.diag_embed(0.5 + torch.rand(COMPONENTS, SIZE, generator=draw))
    ours = GaussianMixture(COMPONENTS, SIZE).double()
    ours.set(weights / weights.sum(), means, factors)
    parts = MultivariateNormal(means, precision_matrix=factors @ factors.mT)
    return ours, MixtureSameFamily(Categorical(weights), parts)


def points(count: int = 20) -> Tensor:
    return 3 * torch.randn(count, SIZE, generator=torch.Generator().manual_seed(1)).double()


def test_standard_normal_log_prob_is_torchs() -> None:
    expected = torch.distributions.Normal(0, 1).log_prob(points()).sum(1)
    torch.testing.assert_close(standard_gaussian_log_prob(points()), expected)


def test_density_of_the_mixture_is_torchs() -> None:
    ours, theirs = mixture()
    torch.testing.assert_close(ours.log_prob(points()), theirs.log_prob(points()))


@pytest.mark.parametrize("base", [StandardGaussian(SIZE), mixture()[0]])
def test_score_is_the_gradient(base: StandardGaussian | GaussianMixture) -> None:
    u = points().requires_grad_()
    (gradient,) = torch.autograd.grad(base.log_prob(u).sum(), u)
    torch.testing.assert_close(base.gradient(u.detach()), gradient)


def test_precision_is_the_curvature_where_one_gaussian_rules() -> None:
    ours, _ = mixture()
    alone = GaussianMixture(1, SIZE).double()
    alone.set(torch.ones(1).double(), ours.means[:1], ours.factors[:1])
    for base in (StandardGaussian(SIZE), alone):
        u = points(1)
        second = torch.autograd.functional.hessian(lambda at: base.log_prob(at[None])[0], u[0])  # noqa: B023
        torch.testing.assert_close(base.precision(u)[0], -second)


def test_precision_of_the_mixture_is_positive_between_its_gaussians() -> None:
    ours, _ = mixture()
    assert torch.linalg.eigvalsh(ours.precision(points(200))).min() > 0


def test_draws_have_the_moments_of_the_mixture() -> None:
    ours, theirs = mixture()
    draws = ours.sample(40_000, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(draws.mean(0), theirs.mean, atol=0.08, rtol=0)
    torch.testing.assert_close(draws.var(0), theirs.variance, atol=0.0, rtol=0.03)


def test_temperature_draws_towards_the_middle_of_each_gaussian() -> None:
    ours, _ = mixture()
    cold = ours.sample(500, temperature=0.0, generator=torch.Generator().manual_seed(3))
    assert torch.cdist(cold, ours.means).amin(1).max() < 1e-9


def test_standardised_draws_are_standard_normal_and_others_are_not() -> None:
    ours, theirs = mixture()
    draw = torch.Generator().manual_seed(4)
    standard = ours.standardise(ours.sample(5000, generator=draw), draw)
    for column in standard.T:
        assert kstest(column.numpy(), "norm").pvalue > 1e-3
    wider = ours.standardise(1.2 * theirs.mean + 1.5 * points(5000), draw)
    assert min(kstest(column.numpy(), "norm").pvalue for column in wider.T) < 1e-6


def test_radius_holds_the_draws() -> None:
    for base in (StandardGaussian(SIZE), mixture()[0]):
        assert base.sample(5000).norm(dim=1).max() < base.radius


def test_mixture_is_the_standard_normal_until_it_is_fitted() -> None:
    base = build_base(5, SIZE)
    torch.testing.assert_close(
        base.log_prob(points().float()), standard_gaussian_log_prob(points().float())
    )
    assert isinstance(build_base(0, SIZE), StandardGaussian)


def test_fit_finds_clusters_and_their_density() -> None:
    ours, theirs = mixture()
    draw = torch.Generator().manual_seed(5)
    fitted = GaussianMixture(COMPONENTS, SIZE)
    fit_mixture(fitted, ours.sample(5000, generator=draw))
    fresh = ours.sample(2000, generator=draw)
    loss = (theirs.log_prob(fresh) - fitted.log_prob(fresh.float())).mean()
    assert abs(loss) < 0.05  # nats; a single Gaussian loses more than half a nat
    single = GaussianMixture(1, SIZE)
    fit_mixture(single, fresh)
    assert (theirs.log_prob(fresh) - single.log_prob(fresh.float())).mean() > 0.5


def test_too_few_vectors_are_refused() -> None:
    with pytest.raises(TrainingError, match="19 images are too few for a base of 2 Gaussians"):
        fit_mixture(GaussianMixture(2, SIZE), torch.randn(19, SIZE))
