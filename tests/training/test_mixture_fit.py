"""The base of a flow as a mixture: how many Gaussians, and those that were fitted."""

import pytest
import torch
from sklearn.mixture import GaussianMixture as Estimator
from torch import Tensor

from paecli.model.base_distribution import GaussianMixture
from paecli.training.mixture_fit import choose_mixture, set_mixture


def gaussian(count: int, *, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))


def clusters(count: int, *, seed: int = 0) -> Tensor:
    """Four narrow Gaussians at the corners of a square."""
    corners = torch.tensor([[2.0, 2, 0], [-2, 2, 0], [2, -2, 0], [-2, -2, 0]])
    return corners[torch.arange(count) % 4] + 0.3 * gaussian(count, seed=seed)


def of_two_contrasts(count: int) -> Tensor:
    """What few large deviations beside many small ones look like."""
    return gaussian(count) * torch.where(torch.arange(count) % 3 > 0, 0.5, 1.6)[:, None]


def test_gaussian_vectors_need_no_mixture() -> None:
    assert choose_mixture(gaussian(600), gaussian(200, seed=1)) is None


def test_clusters_get_a_gaussian_each() -> None:
    mixture = choose_mixture(clusters(600), clusters(200, seed=1))
    assert mixture is not None
    assert len(mixture.weights_) == 4  # 8 and more fit as well, and are not taken


def test_heavy_tails_get_a_mixture() -> None:
    u = of_two_contrasts(900)
    mixture = choose_mixture(u[:600], u[600:])
    assert mixture is not None
    assert len(mixture.weights_) <= 8


def test_few_vectors_get_few_gaussians() -> None:
    mixture = choose_mixture(clusters(30), clusters(200, seed=1))
    assert mixture is not None
    assert len(mixture.weights_) == 2  # ten for each at least
    assert choose_mixture(clusters(19), clusters(200, seed=1)) is None


def test_the_choice_is_of_the_seed() -> None:
    first, second = (choose_mixture(clusters(200), clusters(100, seed=1), seed=3) for _ in "ab")
    assert (first.means_ == second.means_).all()


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_the_base_has_the_density_of_what_was_fitted(covariance: str) -> None:
    u = clusters(400) @ torch.tensor([[1.0, 0.4, 0], [0, 1, 0], [0, 0.2, 1]])
    mixture = Estimator(4, covariance_type=covariance, random_state=0).fit(u.double().numpy())
    base = GaussianMixture(4, 3)
    set_mixture(base, mixture)
    expected = torch.from_numpy(mixture.score_samples(u.double().numpy()))
    torch.testing.assert_close(base.log_prob(u).double(), expected, rtol=0, atol=1e-4)


def test_of_many_latents_some_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paecli.training.mixture_fit.MOST_LATENTS", 600)
    fitted: list[int] = []

    class Counting(Estimator):
        def fit(self, u: object, y: object = None) -> "Counting":
            fitted.append(len(u))  # type: ignore[arg-type]
            return super().fit(u, y)

    monkeypatch.setattr("paecli.training.mixture_fit.Estimator", Counting)
    u = clusters(4000)[(torch.arange(4000) % 4).argsort(stable=True)]  # cluster by cluster
    mixture = choose_mixture(u, clusters(200, seed=1))
    assert mixture is not None
    assert fitted == [600] * 5 + [4000]  # of 64 Gaussians, each would have fewer than 10
