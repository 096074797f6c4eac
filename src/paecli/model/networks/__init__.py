"""Encoder and decoder networks; each file holds one architecture.

Every builder maps `(image_shape, latent_size, encoder_outputs, ...)` to a pair of modules:
an encoder `(batch, channels, height, width) -> (batch, encoder_outputs)` and a decoder
`(batch, latent_size) -> (batch, channels, height, width)` of logits (before the sigmoid).
"""

from collections.abc import Callable

from torch import nn

from paecli.model.networks.conv import build_conv
from paecli.model.networks.infogan import build_infogan
from paecli.model.networks.mlp import build_mlp
from paecli.model.networks.resnet import build_resnet

NETWORKS: dict[str, Callable[..., tuple[nn.Module, nn.Module]]] = {
    "infogan": build_infogan,
    "conv": build_conv,
    "resnet": build_resnet,
    "mlp": build_mlp,
}

__all__ = ["NETWORKS"]
