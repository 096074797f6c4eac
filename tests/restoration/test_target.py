"""The posterior of some of the images is theirs, and none of the others'."""

import math

import pytest
import torch
from torch import Tensor

from paecli.model.base_distribution import StandardGaussian
from paecli.restoration.target import Target


def straight(u: Tensor) -> Tensor:
    """A decoder of three pixels."""
    return torch.stack((u[:, 0], u[:, 1], u.sum(1)), 1).view(-1, 1, 1, 3)


def three_images() -> Target:
    return Target(
        generate=straight, data=torch.rand(3, 3), variance=0.1 + torch.rand(3, 3),
        observed=torch.tensor([[1, 0, 1], [1, 1, 1], [0, 0, 1]]).bool(), latent_size=2,
        base=StandardGaussian(2),
    )  # fmt: skip


def test_a_selection_is_of_data_variance_and_mask() -> None:
    target, u, which = three_images(), torch.randn(3, 4, 2), torch.tensor([2, 0])
    part = target.select(which)
    torch.testing.assert_close(part.log_prob(u[which]), target.log_prob(u)[which])
    for name in ("data", "variance", "observed"):
        assert torch.equal(getattr(part, name), getattr(target, name)[which])


def test_the_density_is_that_of_each_observed_pixel() -> None:
    target, u = three_images(), torch.randn(3, 4, 2)
    images = target.images(u)
    for image in range(3):
        for point in range(4):
            expected = sum(-0.5 * (x.item() ** 2 + math.log(2 * math.pi)) for x in u[image, point])
            for pixel in range(3):
                if target.observed[image, pixel]:
                    variance = target.variance[image, pixel].item()
                    off = (images[image, point, pixel] - target.data[image, pixel]).item()
                    expected -= 0.5 * (off**2 / variance + math.log(2 * math.pi * variance))
            found = target.log_prob(u)[image, point].item()
            assert abs(found - expected) < 1e-4


def test_gradients_add_up_and_tempers_weigh_the_likelihood() -> None:
    target, u = three_images(), torch.randn(3, 4, 2)
    prior, prior_gradient = target.prior_gradient(u)
    value, gradient = target.log_prob_and_gradient(u, temper=0.3)
    whole = target.log_prob_and_gradient(u)[1] - prior_gradient
    torch.testing.assert_close(gradient, prior_gradient + 0.3 * whole)
    torch.testing.assert_close(value, prior + 0.3 * target.log_likelihood(target.images(u)))


def test_missing_pixels_are_what_is_asked_for() -> None:
    target, images = three_images(), torch.rand(1, 2, 3)
    assert torch.equal(target.wanted(images), images[..., [1]])
    whole = target.select(torch.tensor([1]))
    assert torch.equal(whole.wanted(images), images)
    assert (target.misfit(target.images(torch.zeros(3, 1, 2)))[0, 0, 1] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forward_mode_keeps_the_precision(dtype: torch.dtype) -> None:
    target = Target(
        generate=lambda u: torch.cat((u.square(), u.prod(1, keepdim=True)), 1).view(-1, 1, 1, 3),
        data=torch.zeros(1, 3, dtype=dtype), variance=torch.ones(1, 3, dtype=dtype),
        observed=torch.ones(1, 3, dtype=torch.bool), latent_size=2, base=StandardGaussian(2),
    )  # fmt: skip
    images, jacobian = target.jacobian(torch.tensor([[[3.0, 5.0]]], dtype=dtype))
    assert images.dtype == jacobian.dtype == dtype
    assert images.tolist() == [[[9, 25, 15]]]
    assert jacobian.tolist() == [[[[6, 0, 5], [0, 10, 3]]]]
