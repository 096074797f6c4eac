"""A model whose fixed parts are worked out beforehand: what an exported graph is made of.

ONNX has no operator that solves a triangular system, and a graph should not multiply the same two
constant matrices for every image. So the whitening becomes a product with the inverse of its
Cholesky factor, taken in float64, and each trainable linear layer one matrix; weights that are
parametrised (spectral normalisation) become plain ones.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from paecli.model.autoencoder import Autoencoder
from paecli.model.couplings import LinearLU
from paecli.model.flow import LatentFlow
from paecli.model.model import Model


class ResolvedLinear(nn.Module):
    """`LinearLU` as a single matrix; forwards only.

    Attributes:
        weight: `(size, size)`, the permutation included.
        bias: `(size,)`.
        log_determinant: `()` nats.
    """

    weight: Tensor
    bias: Tensor
    log_determinant: Tensor

    def __init__(self, layer: LinearLU) -> None:
        """Multiplies the factors of a layer, as its own `forward` does."""
        super().__init__()
        weight, bias, log_determinant = layer.resolved()
        self.register_buffer("weight", weight.detach())
        self.register_buffer("bias", bias.detach())
        self.register_buffer("log_determinant", log_determinant.detach())

    def forward(
        self, x_or_z: list[Tensor], c: object = None, rev: bool = False, jac: bool = True
    ) -> tuple[tuple[Tensor], Tensor]:
        """As `LinearLU.forward`."""
        del c, rev, jac
        x = x_or_z[0]
        return (x @ self.weight.T + self.bias,), self.log_determinant.expand(x.shape[0])


class ResolvedFlow(LatentFlow):
    """A flow whose whitening is a matrix product."""

    unmixing: Tensor

    def __init__(self, flow: LatentFlow) -> None:
        """Copies a flow; the original stays as it is."""
        nn.Module.__init__(self)  # the layers are there already
        self.latent_size = flow.latent_size
        self.base = flow.base
        self.inn = copy.deepcopy(flow.inn)
        for index, layer in enumerate(self.inn.module_list):
            if isinstance(layer, LinearLU):
                self.inn.module_list[index] = ResolvedLinear(layer)
        self.register_buffer("mean", flow.mean)
        self.register_buffer("cholesky", flow.cholesky)
        self.register_buffer("unmixing", torch.linalg.inv(flow.cholesky.double()).to(flow.mean))

    def whiten(self, z: Tensor) -> Tensor:
        """As `LatentFlow.whiten`."""
        return (z - self.mean) @ self.unmixing.T


def resolved(model: Model) -> Model:
    """Returns a copy of a model that computes the same from worked-out constants.

    Args:
        model: both stages; it stays as it is.

    Returns:
        A model in evaluation mode, for encoding, decoding and scores; it cannot sample.

    Raises:
        CheckpointError: only stage 1 is trained.
    """
    copied = Model(_with_plain_weights(model.autoencoder), ResolvedFlow(model.require_flow()))
    copied.sigma = model.sigma
    copied.reference_images = model.reference_images
    copied.reference_scores = model.reference_scores
    return copied.eval()


def _with_plain_weights(autoencoder: Autoencoder) -> Autoencoder:
    """Copies an autoencoder; what its parametrisations compute becomes its weights."""
    copied = copy.deepcopy(autoencoder)
    for parent in list(copied.modules()):
        for name, module in list(parent.named_children()):
            if parametrize.is_parametrized(module):
                setattr(parent, name, _plain(module))
    return copied


def _plain(module: nn.Module) -> nn.Module:
    """Returns a module of the class that was parametrised.

    `remove_parametrizations` would strip the original, too, whose class a copy shares.
    """
    kind = type(module).__mro__[1]
    plain: nn.Module = object.__new__(kind)
    plain.__dict__ = module.__dict__ | {
        "_modules": {},
        "_parameters": module._parameters
        | {
            name: nn.Parameter(getattr(module, name).detach())
            for name in module.get_submodule("parametrizations")._modules
        },
    }
    return plain
