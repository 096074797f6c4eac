"""Posteriors that are not Gaussian: two readings, and draws from the model itself."""

from dataclasses import replace

import torch
from scipy.stats import chisquare

from paecli.restoration.samplers.draws import draw_by_chains, draw_by_importance
from paecli.restoration.solve import find_modes

from .samplers.posteriors import PIXELS, SIGMA, curved, folded, target_for


def test_two_equal_readings_are_both_found_and_drawn() -> None:
    target = target_for(folded, torch.tensor([[2.25, 0.3]]), 0.1)
    generator = torch.Generator().manual_seed(0)
    mixture = find_modes(target, starts=64, generator=generator)
    torch.testing.assert_close(
        mixture.weights[0], torch.full((2,), 0.5).double(), atol=1e-3, rtol=0
    )
    for draw in (draw_by_importance, draw_by_chains):
        draws = draw(target, mixture, generator)
        assert 0.4 < float((draws.points[0, :, 0] > 0).float().mean()) < 0.6


def test_jacobian_is_that_of_autograd() -> None:
    target = target_for(curved, torch.zeros(3, PIXELS), SIGMA)
    u = torch.randn(3, 2, 2)
    images, jacobian = target.jacobian(u)
    torch.testing.assert_close(images, target.images(u))
    for image in range(3):
        for point in range(2):
            exact = torch.autograd.functional.jacobian(
                lambda v: curved(v[None]).flatten(), u[image, point]
            )
            torch.testing.assert_close(jacobian[image, point], exact.T)


def test_jacobian_through_an_inner_map_is_that_of_autograd() -> None:
    plain = target_for(curved, torch.zeros(1, PIXELS), SIGMA)

    def bent(u: torch.Tensor) -> torch.Tensor:
        return torch.stack((u[:, 0] + u[:, 1].square(), u[:, 1].tanh()), dim=1)

    target = replace(plain, inner=bent)
    u = torch.randn(1, 3, 2, generator=torch.Generator().manual_seed(0))
    images, jacobian = target.jacobian(u)
    torch.testing.assert_close(images, target.images(u))
    for point in range(3):
        exact = torch.autograd.functional.jacobian(
            lambda v: curved(bent(v[None])).flatten(), u[0, point]
        )
        torch.testing.assert_close(jacobian[0, point], exact.T)


def test_ranks_of_the_truth_among_chains_are_uniform() -> None:
    """Simulation-based errors (Talts et al., arXiv:1804.06788)."""
    generator = torch.Generator().manual_seed(1)
    count, bins = 300, 10
    truth = torch.randn(count, 2, generator=generator)
    data = curved(truth).flatten(1) + SIGMA * torch.randn(count, PIXELS, generator=generator)
    target = target_for(curved, data, SIGMA)
    mixture = find_modes(target, starts=16, generator=generator)
    draws = draw_by_chains(target, mixture, generator)
    thinned = draws.points[:, ::8]
    for values, true in ((thinned, truth), (thinned.square(), truth.square())):
        rank = (values < true[:, None]).sum(1)
        slots = rank * bins // (thinned.shape[1] + 1)
        for latent in range(2):
            counts = torch.bincount(slots[:, latent], minlength=bins)
            assert chisquare(counts.numpy()).pvalue > 1e-3
