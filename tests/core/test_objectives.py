import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from paecli.core.autoencoder import Autoencoder
from paecli.core.flow import LatentFlow
from paecli.core.objectives import AutoencoderObjective, FlowObjective

SHAPE = (1, 6, 6)


def autoencoder(*, variational: bool) -> Autoencoder:
    return Autoencoder(
        network="mlp", image_shape=SHAPE, latent_size=3, variational=variational, width=16
    )


@pytest.fixture
def images() -> Tensor:
    return torch.rand(8, *SHAPE)


def test_ae_is_the_mean_squared_error(images: Tensor) -> None:
    network = autoencoder(variational=False)
    loss = AutoencoderObjective(network)(images, images, 0.0)
    assert loss.item() == pytest.approx((network(images) - images).square().mean().item())


def test_noise_on_the_input_leaves_the_target_clean(images: Tensor) -> None:
    network = autoencoder(variational=False)
    noisy = images + 0.3
    loss = AutoencoderObjective(network)(noisy, images, 0.0)
    assert loss.item() == pytest.approx((network(noisy) - images).square().mean().item())


def divergence(network: Autoencoder, images: Tensor) -> Tensor:
    mean, log_variance = network.encode_distribution(images)
    posterior = Normal(mean, (0.5 * log_variance).exp())
    return kl_divergence(posterior, Normal(0.0, 1.0)).mean(0)


def penalty(network: Autoencoder, images: Tensor, fraction: float, **options: float) -> float:
    """The loss less the same loss without a KL term: the random draw cancels."""
    values = []
    for weights in (options, options | {"beta": 0.0}):
        torch.manual_seed(1)
        values.append(AutoencoderObjective(network, **weights)(images, images, fraction).item())
    return (values[0] - values[1]) * images[0].numel()


def test_vae_penalty_is_the_kl_divergence(images: Tensor) -> None:
    network = autoencoder(variational=True)
    expected = divergence(network, images).sum().item()
    assert penalty(network, images, 1.0, loss="vae", beta=2.0) == pytest.approx(
        2 * expected, rel=1e-3
    )


def test_vae_beta_rises_while_annealed(images: Tensor) -> None:
    network = autoencoder(variational=True)
    options = {"loss": "vae", "beta": 4.0, "anneal": 0.5}
    full = penalty(network, images, 0.75, **options)
    assert penalty(network, images, 0.25, **options) == pytest.approx(full / 2, rel=1e-3)


def test_free_bits_bound_each_latent_from_below(images: Tensor) -> None:
    network = autoencoder(variational=True)
    value = penalty(network, images, 1.0, loss="vae", beta=1.0, free_bits=50.0)
    assert value == pytest.approx(3 * 50.0, rel=1e-3)


def test_beta_vae_aims_at_its_capacity(images: Tensor) -> None:
    network = autoencoder(variational=True)
    nats = divergence(network, images).sum().item()
    value = penalty(network, images, 0.5, loss="beta-vae", beta=10.0, capacity=30.0, anneal=1.0)
    assert value == pytest.approx(10 * abs(nats - 15.0), rel=1e-3)


def test_flow_loss_of_an_identity_flow_is_the_normal_entropy() -> None:
    flow = LatentFlow(kind="nsf", latent_size=2, blocks=1, width=8)
    loss = FlowObjective(flow)(torch.randn(20000, 2), 0.0).item()
    assert loss == pytest.approx(0.5 * math.log(2 * math.pi * math.e), abs=0.02)
