"""Control variates: exact where the posterior is Gaussian and the decoder a plane."""

import torch

from paecli.restoration.moments import Linearisation, pixel_moments


def gaussian(draws: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Linearisation]:
    """Returns mean latents, draws, gradients of their log density, and the decoder's plane."""
    root = torch.tensor([[1.0, 0.0], [0.5, 0.7]], dtype=torch.float64)
    covariance = (root @ root.T)[None]
    jacobian = torch.randn(1, 2, 5, dtype=torch.float64)
    offset = torch.randn(1, draws, 2, dtype=torch.float64) @ root.T
    gradient = -offset @ torch.linalg.inv(covariance)
    return offset, gradient, covariance, Linearisation(jacobian, covariance)


def test_the_variance_of_a_plane() -> None:
    _, _, covariance, linear = gaussian(1)
    expected = (linear.jacobian.mT @ covariance @ linear.jacobian).diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(linear.pixel_variance(), expected)


def test_few_draws_give_the_exact_moments() -> None:
    offset, gradient, _, linear = gaussian(12)
    images = 3 + offset @ linear.jacobian
    mean, variance = pixel_moments(images, gradient, linear)
    torch.testing.assert_close(mean, torch.full((1, 5), 3.0, dtype=torch.float64))
    torch.testing.assert_close(variance, linear.pixel_variance())
    assert (images.mean(1) - 3).abs().max() > 0.01  # the plain mean is off


def test_controls_that_say_nothing_leave_the_plain_moments() -> None:
    images = torch.rand(1, 40, 5, dtype=torch.float64)
    nothing = Linearisation(torch.zeros(1, 2, 5).double(), torch.eye(2)[None].double())
    mean, variance = pixel_moments(images, torch.randn(1, 40, 2).double(), nothing)
    torch.testing.assert_close(mean, images.mean(1))
    torch.testing.assert_close(variance, images.var(1, correction=0))


def test_no_variance_is_negative() -> None:
    offset, gradient, _, linear = gaussian(6)
    images = (offset @ linear.jacobian).sign() * 1e-3
    _, variance = pixel_moments(images, 30 * gradient, linear)
    assert (variance >= 0).all()  # 0 where all draws are equal
