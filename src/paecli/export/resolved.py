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
    autoencoder = copy.deepcopy(model.autoencoder)
    for module in autoencoder.modules():
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    copied = Model(autoencoder, ResolvedFlow(model.require_flow()))
    copied.sigma = model.sigma
    copied.normal_reference = model.normal_reference
    copied.normal_scores = model.normal_scores
    return copied.eval()
