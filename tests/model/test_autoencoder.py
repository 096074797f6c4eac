"""The autoencoder around any of the networks."""

import pytest
import torch

from paecli.model.autoencoder import Autoencoder

SHAPE = (1, 12, 10)


def build(*, variational: bool = False) -> Autoencoder:
    return Autoencoder(
        network="mlp", image_shape=SHAPE, latent_size=3, variational=variational, width=16
    ).eval()


@pytest.mark.parametrize("variational", [False, True])
def test_latents_and_reconstructions(variational: bool) -> None:
    autoencoder = build(variational=variational)
    x = torch.rand(5, *SHAPE)
    z = autoencoder.encode(x)
    assert z.shape == (5, 3)
    x_hat = autoencoder.decode(z)
    assert x_hat.shape == x.shape
    assert ((x_hat >= 0) & (x_hat <= 1)).all()
    assert torch.equal(autoencoder(x), x_hat)


def test_variational_encoder_gives_mean_and_bounded_variance() -> None:
    autoencoder = build(variational=True)
    x = torch.rand(5, *SHAPE)
    mean, log_variance = autoencoder.encode_distribution(1e6 * x)
    assert mean.shape == log_variance.shape == (5, 3)
    assert ((log_variance >= -14) & (log_variance <= 8)).all()
    torch.testing.assert_close(autoencoder.encode_distribution(x)[0], autoencoder.encode(x))


def test_pixels_are_float32_even_under_autocast_and_float64_when_asked() -> None:
    autoencoder = build()
    with torch.autocast("cpu", torch.bfloat16):
        assert autoencoder.decode(torch.randn(2, 3)).dtype == torch.float32
    assert autoencoder.double().decode(torch.randn(2, 3).double()).dtype == torch.float64


def test_unknown_network_is_refused() -> None:
    with pytest.raises(KeyError):
        Autoencoder(network="vit", image_shape=SHAPE, latent_size=3)
