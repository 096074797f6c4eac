"""Principal components beside the networks: the start, and what later jobs ask of it."""

import pytest
import torch
from torch.nn import functional as F

from paecli.model.autoencoder import Autoencoder
from paecli.model.networks import NETWORKS
from paecli.model.principal_components import principal_components

OPTIONS: dict[str, dict[str, int]] = {
    "mlp": {"width": 16, "blocks": 1},
    "conv": {"channels": 4},
    "resnet": {"channels": 4, "width": 16},
    "infogan": {},
}


def smooth_images(count: int, *, channels: int = 1, side: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, channels, 3, 3, generator=generator)
    return F.interpolate(coarse, size=(side, side), mode="bilinear") * 0.6 + 0.2


def fitted(images: torch.Tensor, latent_size: int) -> Autoencoder:
    """A small autoencoder beside the principal components of grey images of 8 x 8."""
    autoencoder = Autoencoder(
        network="mlp",
        image_shape=(1, 8, 8),
        latent_size=latent_size,
        linear=True,
        width=16,
        blocks=1,
    )
    assert autoencoder.linear is not None
    autoencoder.linear.fit(principal_components(images, latent_size))
    return autoencoder


@pytest.mark.parametrize("variational", [False, True])
@pytest.mark.parametrize("network", NETWORKS)
def test_before_training_it_is_as_good_as_principal_components(
    network: str, variational: bool
) -> None:
    images = smooth_images(120, channels=3)
    components = principal_components(images[:100], 6)
    autoencoder = Autoencoder(
        network=network,
        image_shape=(3, 8, 8),
        latent_size=6,
        variational=variational,
        linear=True,
        **OPTIONS[network],
    ).eval()
    assert autoencoder.linear is not None
    autoencoder.linear.fit(components)
    with torch.no_grad():
        z = autoencoder.encode(images)
        error = F.mse_loss(autoencoder(images[100:]), images[100:]).item()
    assert error == pytest.approx(components.mse(images[100:]), rel=1e-3)
    torch.testing.assert_close(z[:100].std(0, correction=0), torch.ones(6), atol=1e-3, rtol=0)
    if variational:
        torch.testing.assert_close(autoencoder.encode_distribution(images)[0], z)


def test_networks_learn_from_the_first_step_on() -> None:
    images = smooth_images(40)
    autoencoder = fitted(images, 2)
    F.mse_loss(autoencoder(images), images).backward()
    gradients = [value.grad for value in autoencoder.parameters() if value.grad is not None]
    assert sum(bool(gradient.abs().max() > 0) for gradient in gradients) >= 4
    assert "linear.directions" not in dict(autoencoder.named_parameters())


def test_latents_beyond_the_components_are_left_to_the_networks() -> None:
    images = smooth_images(4)
    autoencoder = fitted(images, 9).eval()
    with torch.no_grad():
        z = autoencoder.encode(images)
        assert z.isfinite().all()
        assert (z[:, 4:] == 0).all()
        same = autoencoder.linear.encode(torch.full((1, 1, 8, 8), 0.5))
    assert same.isfinite().all()


def test_images_that_are_all_the_same_give_no_nan() -> None:
    images = torch.full((5, 1, 8, 8), 0.25)
    autoencoder = fitted(images, 2).eval()
    with torch.no_grad():
        torch.testing.assert_close(autoencoder(images), images, atol=1e-4, rtol=0)


def test_it_goes_through_float64_bfloat16_and_derivatives() -> None:
    images = smooth_images(40)
    autoencoder = fitted(images, 4).eval()
    with torch.no_grad():
        expected = autoencoder(images)
        with torch.autocast("cpu", torch.bfloat16):
            rough = autoencoder(images)
    torch.testing.assert_close(rough.float(), expected, atol=0.01, rtol=0)
    double = autoencoder.double()
    z = double.encode(images.double()).detach()
    torch.testing.assert_close(double.decode(z).float(), expected)
    direction = torch.randn(z.shape, dtype=z.dtype, generator=torch.Generator().manual_seed(0))
    change = (double.decode(z + 1e-6 * direction) - double.decode(z - 1e-6 * direction)) / 2e-6
    z.requires_grad_()
    (pulled,) = torch.autograd.grad((double.decode(z) * change.detach()).sum(), z)
    torch.testing.assert_close(
        (pulled * direction).sum(1), change.square().flatten(1).sum(1), rtol=1e-4, atol=1e-6
    )
