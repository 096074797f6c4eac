"""The stand-in for the decoder: exact where it is linear, harmless where it is not known."""

from dataclasses import fields

import torch

from paecli.restoration.samplers import emulator as emulators
from paecli.restoration.samplers.emulator import Emulator, Seen, fit_emulator

NAN = float("nan")
UNITS = torch.eye(2)


def linear(points: torch.Tensor) -> torch.Tensor:
    """The misfit `(m, 3)` of points `(m, 2)`."""
    return points @ torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]]) + 0.5


def bent(points: torch.Tensor) -> torch.Tensor:
    """A misfit `(m, 3)` that no straight line tells."""
    return linear(points) + torch.sin(2 * points[:, :1]) * points[:, 1:]


def seen(points: torch.Tensor, misfit: torch.Tensor, temper: float = 1.0) -> Seen:
    return Seen(temper, points, misfit, -0.5 * misfit.square().sum(1))


def exact(points: torch.Tensor, misfit: object) -> tuple[torch.Tensor, torch.Tensor]:
    """The log likelihood and its gradient."""
    at = points.clone().requires_grad_(True)
    log_likelihood = -0.5 * misfit(at).square().sum(1)  # type: ignore[operator]
    (gradient,) = torch.autograd.grad(log_likelihood.sum(), at)
    return log_likelihood.detach(), gradient


def test_a_linear_decoder_is_emulated_exactly() -> None:
    points = torch.randn(800, 2, generator=torch.Generator().manual_seed(0))
    emulator = fit_emulator([seen(points, linear(points))], 1.0, UNITS)
    at = points[:5]
    expected, gradient = exact(at, linear)
    torch.testing.assert_close(emulator.gradient(at), gradient, rtol=5e-3, atol=5e-3)
    found = emulator.log_likelihood(at)
    torch.testing.assert_close(found - found[0], expected - expected[0], rtol=5e-3, atol=5e-3)


def test_a_decoder_that_bends_is_told_at_places_not_seen() -> None:
    generator = torch.Generator().manual_seed(0)
    points, others = torch.randn(2, 300, 2, generator=generator)
    emulator = fit_emulator([seen(points, bent(points))], 1.0, UNITS)
    others = others[others.norm(dim=1) < 1.5]
    expected, gradient = exact(others, bent)
    error = emulator.gradient(others) - gradient
    assert error.square().mean() < 0.01 * gradient.square().mean()
    error = emulator.log_likelihood(others) - expected
    assert error.std() < 0.05 * expected.std()


def test_the_gradient_is_that_of_the_log_likelihood() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(500, 2, generator=generator)
    units = torch.tensor([[0.7, 0.0], [0.4, 1.3]])
    emulator = fit_emulator([seen(points, bent(points))], 1.0, units)
    at = points[:5].double().requires_grad_(True)
    exactly = Emulator(*(getattr(emulator, each.name).double() for each in fields(emulator)))
    (gradient,) = torch.autograd.grad(exactly.log_likelihood(at).sum(), at)
    torch.testing.assert_close(exactly.gradient(at.detach()), gradient)


def test_a_misfit_of_many_values_is_told_by_few_combinations() -> None:
    """They keep its length, on which the likelihood depends."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(200, 2, generator=generator)
    mixing = torch.linalg.qr(torch.randn(2 * emulators.MOST_COLUMNS, 3, generator=generator)).Q
    few = fit_emulator([seen(points, bent(points))], 1.0, UNITS)
    many = fit_emulator([seen(points, bent(points) @ mixing.T)], 1.0, UNITS)
    assert many.pull.shape[1] <= emulators.MOST_COLUMNS
    torch.testing.assert_close(many.gradient(points), few.gradient(points), rtol=1e-3, atol=1e-3)


def test_points_count_by_how_well_they_fit_the_temper() -> None:
    """Far from the posterior the decoder may be another: only what is near matters."""
    generator = torch.Generator().manual_seed(0)
    near = 0.2 * torch.randn(200, 2, generator=generator)
    far = near + 30.0
    both = torch.cat((near, far))
    misfit = torch.cat((linear(near), 7.0 - 5 * linear(far)))
    emulator = fit_emulator([seen(both, misfit, temper=0.0)], 1.0, UNITS)
    alone = fit_emulator([seen(near, linear(near), temper=0.0)], 1.0, UNITS)
    torch.testing.assert_close(emulator.gradient(near), alone.gradient(near), rtol=1e-3, atol=1e-3)


def test_what_is_nan_does_not_count() -> None:
    points = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    misfit = linear(points)
    misfit[::2] = NAN
    emulator = fit_emulator([seen(points, misfit, temper=0.0)], 1.0, UNITS)
    others = fit_emulator([seen(points[1::2], linear(points[1::2]), temper=0.0)], 1.0, UNITS)
    torch.testing.assert_close(emulator.gradient(points), others.gradient(points))
    nothing = fit_emulator([seen(points, torch.full_like(misfit, NAN))], 1.0, UNITS)
    assert nothing.gradient(points).isfinite().all()
