"""Derivatives of networks along directions: tangents are pushed through them layer by layer.

Forward-mode differentiation with the values computed once for all directions. torch's own, `jvp`
under `vmap`, gives the same and takes twice as long; its first use imports torch's compiler, which
takes as long as importing torch.

Shapes: values are `(b, ...)`, tangents `(k * b, ...)`, all values' tangents along the first
direction first. Networks must be in evaluation mode, and their convolutions without groups.
"""

from collections.abc import Callable
from functools import singledispatch
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paecli.model.networks.layers import (
    ChannelsLast,
    CropTo,
    ResidualConvBlock,
    ResidualMLPBlock,
    mlp_activation,
)

Pushed = tuple[Tensor, Tensor]  # values and tangents


@singledispatch
def push(layer: nn.Module, x: Tensor, tangents: Tensor) -> Pushed:
    """Maps values and tangents through a layer.

    Raises:
        TypeError: there is no rule for such a layer.
    """
    shapes = f"values {tuple(x.shape)} and tangents {tuple(tangents.shape)}"
    raise TypeError(f"no rule for {shapes} through a {type(layer).__name__}")


def push_elementwise(function: Callable[[Tensor], Tensor], x: Tensor, tangents: Tensor) -> Pushed:
    """Maps values and tangents through a function that treats each value by itself."""
    with torch.enable_grad():
        at = x.detach().requires_grad_(True)
        values = function(at)
        (slopes,) = torch.autograd.grad(values.sum(), at)
    return values.detach(), times(tangents, slopes)


def times(tangents: Tensor, factors: Tensor) -> Tensor:
    """Multiplies all tangents of a value by its factors `(b, ...)`."""
    product: Tensor = tangents.unflatten(0, (-1, len(factors))) * factors
    return product.flatten(0, 1)


@push.register
def _(layers: nn.Sequential, x: Tensor, tangents: Tensor) -> Pushed:
    for layer in layers:
        x, tangents = push(layer, x, tangents)
    return x, tangents


@push.register(nn.Unflatten)
@push.register(nn.PixelShuffle)
@push.register(ChannelsLast)
@push.register(CropTo)
def _move(layer: nn.Module, x: Tensor, tangents: Tensor) -> Pushed:
    """Layers that move values about and change none."""
    return layer(x), layer(tangents)


@push.register(nn.Dropout2d)
def _keep(_: nn.Module, x: Tensor, tangents: Tensor) -> Pushed:
    return x, tangents


@push.register(nn.ReLU)
@push.register(nn.LeakyReLU)
def _activate(layer: nn.Module, x: Tensor, tangents: Tensor) -> Pushed:
    return push_elementwise(layer, x, tangents)


@push.register
def _(layer: nn.Linear, x: Tensor, tangents: Tensor) -> Pushed:
    return layer(x), F.linear(tangents, layer.weight)


@push.register
def _(layer: nn.Conv2d, x: Tensor, tangents: Tensor) -> Pushed:
    return layer(x), F.conv2d(tangents, layer.weight, None, layer.stride, layer.padding)


@push.register
def _(layer: nn.ConvTranspose2d, x: Tensor, tangents: Tensor) -> Pushed:
    stride, padding = layer.stride, cast(tuple[int, ...], layer.padding)
    return layer(x), F.conv_transpose2d(tangents, layer.weight, None, stride, padding)


@push.register(nn.BatchNorm1d)
@push.register(nn.BatchNorm2d)
def _scale(layer: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor, tangents: Tensor) -> Pushed:
    variance = cast(Tensor, layer.running_var)
    factors = layer.weight / (variance + layer.eps).sqrt()
    return layer(x), tangents * factors.view(-1, *(1,) * (x.ndim - 2))


@push.register
def _(layer: nn.LayerNorm, x: Tensor, tangents: Tensor) -> Pushed:
    variance, mean = torch.var_mean(x, -1, keepdim=True, correction=0)
    spread = (variance + layer.eps).sqrt()
    standard = (x - mean) / spread
    centred = tangents - tangents.mean(-1, keepdim=True)
    along = times(tangents, standard).mean(-1, keepdim=True)
    across = centred - times(along, standard)
    return layer(x), times(across, 1 / spread) * layer.weight


@push.register
def _(block: ResidualMLPBlock, x: Tensor, tangents: Tensor) -> Pushed:
    hidden = push(block.expand, *push(block.norm, x, tangents))
    change, changes = push(block.contract, *push_elementwise(mlp_activation, *hidden))
    return x + change, tangents + changes


@push.register
def _(block: ResidualConvBlock, x: Tensor, tangents: Tensor) -> Pushed:
    hidden = push(block.conv1, *push_elementwise(torch.relu, *push(block.norm1, x, tangents)))
    hidden = push(block.conv2, *push_elementwise(torch.relu, *push(block.norm2, *hidden)))
    return x + hidden[0], tangents + hidden[1]
