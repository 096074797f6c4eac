"""Every network at every size the tool takes, and some it was not made for."""

import pytest
import torch

from paecli.model.networks import NETWORKS
from paecli.model.networks.resnet import halvings

SMALL = {
    "infogan": {},
    "conv": {"channels": 4},
    "resnet": {"channels": 4, "width": 16},
    "mlp": {"width": 16},
}
SHAPES = [
    (1, 28, 28),
    (3, 32, 32),
    (3, 64, 64),
    (1, 128, 128),
    (3, 31, 17),
    (1, 17, 31),
    (1, 5, 3),
]


CASES = [
    (name, shape)
    for name in NETWORKS
    for shape in SHAPES
    if name != "infogan" or max(shape) < 64  # its dense layers grow with the area
]


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_shapes_and_gradients(name: str, shape: tuple[int, int, int]) -> None:
    encoder, decoder = NETWORKS[name](
        image_shape=shape, latent_size=3, encoder_outputs=6, **SMALL[name]
    )
    latent = encoder(torch.rand(2, *shape))
    assert latent.shape == (2, 6)
    logits = decoder(latent[:, :3])
    assert logits.shape == (2, *shape)
    logits.square().mean().backward()
    for side in (encoder, decoder):
        for parameter in side.parameters():
            assert parameter.grad is not None
            assert parameter.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 128, 128)])
def test_shapes_of_infogan_on_large_images(shape: tuple[int, int, int]) -> None:
    with torch.device("meta"):  # shapes without the 268 million weights
        encoder, decoder = NETWORKS["infogan"](
            image_shape=shape, latent_size=3, encoder_outputs=6, spectral_norm=False
        )
        latent = encoder(torch.rand(2, *shape))
        assert latent.shape == (2, 6)
        assert decoder(latent[:, :3]).shape == (2, *shape)


@pytest.mark.parametrize("name", NETWORKS)
def test_evaluation_does_not_depend_on_the_rest_of_the_batch(name: str) -> None:
    encoder, decoder = NETWORKS[name](
        image_shape=(1, 28, 28), latent_size=3, encoder_outputs=3, **SMALL[name]
    )
    encoder.eval(), decoder.eval()
    x = torch.rand(4, 1, 28, 28)
    with torch.no_grad():
        whole = decoder(encoder(x))
        alone = torch.cat([decoder(encoder(one)) for one in x.split(1)])
    torch.testing.assert_close(whole, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_unknown_option_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match="heads"):
        NETWORKS[name](image_shape=(1, 28, 28), latent_size=3, encoder_outputs=3, heads=8)


@pytest.mark.parametrize(
    ("side", "expected"), [(5, 1), (16, 1), (17, 2), (28, 2), (32, 2), (64, 3), (128, 4)]
)
def test_halvings_end_at_eight_pixels(side: int, expected: int) -> None:
    assert halvings((1, side, 3)) == expected
