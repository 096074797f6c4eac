"""Images differentiated along directions are what reverse mode says, for every decoder."""

import pytest
import torch
from torch import Tensor, nn

from paecli.model.autoencoder import Autoencoder
from paecli.model.map_jacobian import map_jacobian
from paecli.model.networks import NETWORKS
from paecli.model.networks.tangents import push

LATENT = 3


def autoencoder(
    network: str, *, shape: tuple[int, int, int], linear: bool = False, dropout: float = 0.0
) -> Autoencoder:
    """A model in float64 none of whose parts is as it begins, and so perhaps without effect."""
    model = Autoencoder(
        network=network, image_shape=shape, latent_size=LATENT, linear=linear, dropout=dropout
    )
    draw = torch.Generator().manual_seed(0)
    for name, values in [*model.named_parameters(), *model.named_buffers()]:
        if values.is_floating_point():
            drawn = 0.2 * torch.randn(values.shape, generator=draw)
            values.data = 0.5 + drawn.abs() if "var" in name or "scale" in name else drawn
    if model.linear is not None:
        model.linear.mean.add_(0.5)
    return model.double().eval()


def by_reverse_mode(model: Autoencoder, z: Tensor) -> Tensor:
    """Derivatives `(b, k, c, h, w)`, one image at a time."""
    each = [torch.autograd.functional.jacobian(model.decode, row[None])[0, ..., 0, :] for row in z]
    return torch.stack(each).movedim(-1, 1)


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("network", NETWORKS)
def test_tangents_are_the_jacobian_of_every_network(network: str, linear: bool) -> None:
    torch.manual_seed(0)
    model = autoencoder(network, shape=(3, 10, 13), linear=linear, dropout=0.3)
    z = torch.randn(4, LATENT, dtype=torch.float64)
    images, changes = model.decode_along(z, torch.eye(LATENT, dtype=torch.float64))
    expected = by_reverse_mode(model, z)
    assert expected.abs().amax(dim=(0, 2, 3, 4)).min() > 1e-3  # every latent moves something
    torch.testing.assert_close(changes, expected)
    torch.testing.assert_close(images, model.decode(z))


def test_directions_may_be_any_and_of_any_number() -> None:
    model = autoencoder("resnet", shape=(1, 12, 12))
    z = torch.randn(2, LATENT, dtype=torch.float64)
    directions = torch.randn(5, LATENT, dtype=torch.float64)
    expected = torch.einsum("dk,bkchw->bdchw", directions, by_reverse_mode(model, z))
    torch.testing.assert_close(model.decode_along(z, directions)[1], expected)


def test_a_layer_without_a_rule_is_named() -> None:
    with pytest.raises(TypeError, match="Softmax"):
        push(nn.Softmax(1), torch.ones(1, 2), torch.ones(1, 2))


def test_jacobians_of_maps_have_the_inner_latents_first() -> None:
    weight = torch.randn(4, 4)
    values, jacobian = map_jacobian(lambda u: torch.sin(u @ weight), torch.zeros(2, 4))
    torch.testing.assert_close(jacobian, weight.expand(2, 4, 4))
    torch.testing.assert_close(values, torch.zeros(2, 4))
