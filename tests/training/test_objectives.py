import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from paecli.model.autoencoder import Autoencoder
from paecli.model.flow import LatentFlow
from paecli.training.objectives import AutoencoderObjective, FlowObjective

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


def penalty(network: Autoencoder, images: Tensor, fraction: float, **options: Any) -> float:
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


def flow_prior(size: int = 3) -> LatentFlow:
    """A flow that is far from the identity."""
    flow = LatentFlow(kind="nsf", latent_size=size, blocks=2, width=8)
    for parameter in flow.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return flow


def test_untrained_flow_prior_is_the_standard_normal(images: Tensor) -> None:
    network = autoencoder(variational=True)
    prior = LatentFlow(kind="nsf", latent_size=3, blocks=2, width=8)
    x = images.repeat(500, 1, 1, 1)  # the flow's KL is estimated from draws
    expected = divergence(network, images).sum().item()
    assert penalty(network, x, 1.0, loss="flow-vae", prior=prior) == pytest.approx(
        expected, abs=0.05
    )


def test_flow_prior_penalty_is_the_kl_divergence_of_a_shifted_normal(images: Tensor) -> None:
    network = autoencoder(variational=True)
    prior = LatentFlow(kind="nsf", latent_size=3, blocks=1, width=8)
    prior.mean.fill_(2.0)
    prior.cholesky.mul_(0.5)
    mean, log_variance = network.encode_distribution(images)
    posterior = Normal(mean, (0.5 * log_variance).exp())
    expected = kl_divergence(posterior, Normal(2.0, 0.5)).sum(1).mean().item()
    x = images.repeat(500, 1, 1, 1)
    assert penalty(network, x, 1.0, loss="flow-vae", prior=prior) == pytest.approx(
        expected, rel=0.02
    )


def test_flow_prior_and_encoder_both_get_gradients(images: Tensor) -> None:
    network, prior = autoencoder(variational=True), flow_prior()
    AutoencoderObjective(network, prior=prior, loss="flow-vae")(images, images, 1.0).backward()
    for name, parameter in [*network.named_parameters(), *prior.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_free_bits_of_a_flow_prior_count_in_total(images: Tensor) -> None:
    network = autoencoder(variational=True)
    value = penalty(network, images, 1.0, loss="flow-vae", prior=flow_prior(), free_bits=50.0)
    assert value == pytest.approx(3 * 50.0, rel=1e-3)


def test_free_bits_leave_the_encoder_free(images: Tensor) -> None:
    network = autoencoder(variational=True)
    gradients = []
    for options in ({"free_bits": 50.0}, {"beta": 0.0}):
        torch.manual_seed(1)
        loss = AutoencoderObjective(network, loss="vae", **options)(images, images, 1.0)
        gradients.append(torch.autograd.grad(loss, list(network.encoder.parameters())))
    for with_free_bits, without_penalty in zip(*gradients, strict=True):
        torch.testing.assert_close(with_free_bits, without_penalty)


def test_given_posterior_sigma_needs_no_variational_encoder(images: Tensor) -> None:
    network = autoencoder(variational=False)
    mean = network.encode(images)
    posterior = Normal(mean, torch.full_like(mean, 0.3))
    expected = kl_divergence(posterior, Normal(0.0, 1.0)).sum(1).mean().item()
    value = penalty(network, images, 1.0, loss="vae", posterior_sigma=0.3)
    assert value == pytest.approx(expected, rel=1e-3)


def test_beta_zero_is_the_error_of_noisy_latents(images: Tensor) -> None:
    network = autoencoder(variational=False)
    objective = AutoencoderObjective(
        network, loss="vae", beta=0.0, posterior_sigma=1.0, pixel_sigma=0.5**0.5
    )
    torch.manual_seed(1)
    loss = objective(images, images, 1.0).item()
    torch.manual_seed(1)
    z = network.encode(images)
    error = (network.decode(z + torch.randn_like(z)) - images).square().mean()
    assert loss == pytest.approx(error.item(), rel=1e-5)


def map_objective(network: Autoencoder, **options: float) -> AutoencoderObjective:
    return AutoencoderObjective(network, map_stage=0.5, **options)


def test_before_the_map_stage_the_loss_is_the_error_and_sigma_is_measured(images: Tensor) -> None:
    objective = map_objective(autoencoder(variational=False))
    for _ in range(3):
        loss = objective(images, images, 0.49)
    squared = (objective.autoencoder(images) - images).square()
    assert loss.item() == pytest.approx(squared.mean().item())
    torch.testing.assert_close(objective.variance, squared.mean(0))


def test_measuring_the_loss_does_not_move_sigma(images: Tensor) -> None:
    objective = map_objective(autoencoder(variational=False)).eval()
    before = objective.variance.clone()
    for fraction in (0.2, 0.8):
        objective(images, images, fraction)
    assert torch.equal(objective.variance, before)


def test_map_stage_maximises_likelihood_and_prior(images: Tensor) -> None:
    network = autoencoder(variational=False)
    objective = map_objective(network)
    objective.variance.uniform_(0.01, 0.3)
    z = network.encode(images)
    likelihood = Normal(network.decode(z), objective.variance.sqrt()).log_prob(images)
    log_posterior = likelihood.flatten(1).sum(1) + Normal(0.0, 1.0).log_prob(z).sum(1)
    expected = torch.autograd.grad(-log_posterior.mean(), list(network.parameters()))
    found = torch.autograd.grad(objective(images, images, 0.9), list(network.parameters()))
    scale = 2 * objective.variance.mean() / images[0].numel()
    for mine, true in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, scale * true)


def test_perfect_pixels_keep_the_map_loss_finite(images: Tensor) -> None:
    objective = map_objective(autoencoder(variational=False))
    objective.variance.zero_()
    loss = objective(images, images, 0.9)
    loss.backward()
    assert loss.isfinite()


def trained(
    objective: AutoencoderObjective, x: Tensor, *, steps: int = 300
) -> AutoencoderObjective:
    optimiser = torch.optim.Adam(objective.parameters(), lr=5e-3)
    for step in range(steps):
        optimiser.zero_grad()
        objective(x, x, step / steps).backward()
        optimiser.step()
    return objective.eval()


def two_kinds(count: int = 64) -> Tensor:
    """Dark and bright pictures and nothing between: no normal latent density fits them."""
    level = torch.where(torch.arange(count) % 2 == 0, 0.1, 0.9)
    return (level.view(-1, 1, 1, 1) + 0.03 * torch.randn(count, *SHAPE)).clamp(0, 1)


@torch.no_grad()
def elbo_loss(objective: AutoencoderObjective, x: Tensor) -> float:
    return sum(objective(x, x, 1.0).item() for _ in range(20)) / 20


def test_flow_prior_reaches_a_better_bound_than_the_normal_prior() -> None:
    x = two_kinds()
    losses = {}
    for loss in ("vae", "flow-vae"):
        torch.manual_seed(3)
        network = Autoencoder(
            network="mlp", image_shape=SHAPE, latent_size=1, variational=True, width=16
        )
        prior = flow_prior(1) if loss == "flow-vae" else None
        objective = AutoencoderObjective(network, prior=prior, loss=loss, pixel_sigma=0.05)
        losses[loss] = elbo_loss(trained(objective, x), x) * x[0].numel()
    # two narrow peaks: knowing which of the two it is costs log 2, a normal has to bridge them
    assert losses["flow-vae"] < losses["vae"] - 0.3


def test_map_stage_brings_latents_to_the_prior_and_keeps_the_error() -> None:
    x = two_kinds()
    errors, sizes = [], []
    for map_stage in (0.0, 0.5):
        torch.manual_seed(3)
        network = autoencoder(variational=False)
        trained(AutoencoderObjective(network, map_stage=map_stage), x)
        with torch.no_grad():
            errors.append((network(x) - x).square().mean().item())
            sizes.append(network.encode(x).square().sum(1).mean().item())
    assert sizes[1] < 0.5 * sizes[0]
    assert errors[1] < 1.5 * errors[0]


def test_flow_loss_of_an_identity_flow_is_the_normal_entropy() -> None:
    flow = LatentFlow(kind="nsf", latent_size=2, blocks=1, width=8)
    loss = FlowObjective(flow)(torch.randn(20000, 2), 0.0).item()
    assert loss == pytest.approx(0.5 * math.log(2 * math.pi * math.e), abs=0.02)
