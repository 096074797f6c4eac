"""Both stages as one model."""

import pytest
import torch
from torch import Tensor

from paecli.api import PAE
from paecli.model.autoencoder import Autoencoder
from paecli.model.model import BATCH, Model
from paecli.system.errors import CheckpointError, UsageError


@pytest.fixture
def only_stage_one() -> Model:
    autoencoder = Autoencoder(network="mlp", image_shape=(1, 6, 6), latent_size=2, width=8)
    return Model(autoencoder).eval()


@pytest.mark.parametrize("shape", [(3, 28, 28), (2, 3, 28, 28), (2, 1, 28, 27), (28, 28)])
def test_images_of_another_shape_are_refused(trained_pae: PAE, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"the model takes \(n, 1, 28, 28\)"):
        trained_pae.as_images(torch.zeros(shape))


@pytest.mark.parametrize("value", [-0.1, 1.1, 255.0, float("nan")])
def test_values_outside_the_range_are_refused(trained_pae: PAE, value: float) -> None:
    x = torch.zeros(2, 1, 28, 28)
    x[1, 0, 3, 4] = value
    with pytest.raises(UsageError, match=r"outside \[0, 1\] or are NaN"):
        trained_pae.as_images(x)


def test_eight_bit_and_float_images_are_the_same(trained_pae: PAE) -> None:
    pixels = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)
    images = trained_pae.as_images(pixels)
    assert images.dtype == torch.float32
    torch.testing.assert_close(images, trained_pae.as_images(pixels.double() / 255))


def test_flow_is_asked_for_by_name_when_it_is_missing(only_stage_one: Model) -> None:
    for job in (only_stage_one.require_flow, lambda: only_stage_one.sample(1)):
        with pytest.raises(CheckpointError, match="pae train-flow"):
            job()


def test_large_inputs_go_through_in_parts(trained_pae: PAE, blobs: Tensor) -> None:
    assert len(blobs) > BATCH
    z = trained_pae.encode(blobs)
    assert z.shape == (len(blobs), trained_pae.latent_size)
    torch.testing.assert_close(z[-3:], trained_pae.encode(blobs[-3:]))
    assert trained_pae.decode(z).shape == blobs.shape


def test_no_images_give_no_results(trained_pae: PAE) -> None:
    none = torch.zeros(0, 1, 28, 28)
    assert trained_pae.reconstruct(none).shape == none.shape
    assert trained_pae.log_prob(none).shape == (0,)
    assert trained_pae.sample(0).shape == none.shape


def test_samples_follow_the_generator_and_the_temperature(trained_pae: PAE) -> None:
    def draw(temperature: float = 1.0) -> Tensor:
        generator = torch.Generator().manual_seed(5)
        return trained_pae.sample(8, temperature=temperature, generator=generator)

    assert torch.equal(draw(), draw())
    assert ((draw() >= 0) & (draw() <= 1)).all()
    assert draw(0.0).std(0).max() < 1e-6
    assert draw(1.0).std(0).max() > 1e-2


def test_trained_model_knows_its_images_from_noise(trained_pae: PAE, blobs: Tensor) -> None:
    noise = torch.rand(100, 1, 28, 28)
    assert trained_pae.log_prob(blobs[500:]).median() > trained_pae.log_prob(noise).median()


def test_generate_is_differentiable(trained_pae: PAE) -> None:
    u = torch.randn(2, trained_pae.latent_size, requires_grad=True)
    trained_pae.generate(u).sum().backward()
    assert u.grad is not None
    assert (u.grad != 0).any(1).all()
