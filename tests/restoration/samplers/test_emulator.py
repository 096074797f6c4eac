"""The stand-in for the decoder: exact where it is linear, harmless where it is not known."""

from dataclasses import fields

import torch

from paecli.restoration.samplers.emulator import Emulator, Seen, fit_emulator

NAN = float("nan")


def linear(points: torch.Tensor) -> torch.Tensor:
    """The misfit `(m, 3)` of points `(m, 2)`."""
    return points @ torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]]) + 0.5


def seen(points: torch.Tensor, misfit: torch.Tensor, temper: float = 1.0) -> Seen:
    return Seen(temper, points, misfit, -0.5 * misfit.square().sum(1))


def test_a_linear_decoder_is_emulated_exactly() -> None:
    points = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
    emulator = fit_emulator([seen(points, linear(points))], 1.0)
    at = points[:5].clone().requires_grad_(True)
    log_likelihood = -0.5 * linear(at).square().sum(1)
    (gradient,) = torch.autograd.grad(log_likelihood.sum(), at)
    torch.testing.assert_close(emulator.gradient(at.detach()), gradient, rtol=5e-3, atol=5e-3)
    found = emulator.log_likelihood(at.detach())
    expected = log_likelihood.detach()
    torch.testing.assert_close(found - found[0], expected - expected[0], rtol=5e-3, atol=5e-3)


def test_the_gradient_is_that_of_the_log_likelihood() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(500, 2, generator=generator)
    emulator = fit_emulator(
        [seen(points, linear(points) + (points[:, :1] * points).sum(1, keepdim=True))], 1.0
    )
    at = points[:5].double().requires_grad_(True)
    exact = Emulator(*(getattr(emulator, each.name).double() for each in fields(emulator)))
    (gradient,) = torch.autograd.grad(exact.log_likelihood(at).sum(), at)
    torch.testing.assert_close(exact.gradient(at.detach()), gradient)


def test_points_count_by_how_well_they_fit_the_temper() -> None:
    """Far from the posterior the decoder may be another: only what is near matters."""
    generator = torch.Generator().manual_seed(0)
    near = 0.2 * torch.randn(200, 2, generator=generator)
    far = near + 30.0
    both = torch.cat((near, far))
    misfit = torch.cat((linear(near), 7.0 - 5 * linear(far)))
    emulator = fit_emulator([seen(both, misfit, temper=0.0)], 1.0)
    alone = fit_emulator([seen(near, linear(near), temper=0.0)], 1.0)
    torch.testing.assert_close(emulator.gradient(near), alone.gradient(near), rtol=1e-3, atol=1e-3)


def test_what_is_nan_does_not_count() -> None:
    points = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    misfit = linear(points)
    misfit[::2] = NAN
    emulator = fit_emulator([seen(points, misfit, temper=0.0)], 1.0)
    others = fit_emulator([seen(points[1::2], linear(points[1::2]), temper=0.0)], 1.0)
    torch.testing.assert_close(emulator.gradient(points), others.gradient(points))
    nothing = fit_emulator([seen(points, torch.full_like(misfit, NAN))], 1.0)
    assert nothing.gradient(points).isfinite().all()
