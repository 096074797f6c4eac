"""Small layers shared by the networks."""

import torch
from torch import Tensor, nn

ImageShape = tuple[int, int, int]


class Centre(nn.Module):
    """Moves pixels from [0, 1] to [-1, 1], where the first layer is better conditioned."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(batch, ...)` in [0, 1] to the same shape in [-1, 1]."""
        return 2 * x - 1


class PadTo(nn.Module):
    """Pads height and width with edge pixels up to the next multiple of `multiple`."""

    def __init__(self, image_shape: ImageShape, *, multiple: int) -> None:
        super().__init__()
        _, height, width = image_shape
        self.pad = (0, -width % multiple, 0, -height % multiple)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(b, c, h, w)` to `(b, c, h', w')`, both multiples of `multiple`."""
        if not any(self.pad):
            return x
        return nn.functional.pad(x, self.pad, mode="replicate")


class CropTo(nn.Module):
    """Undoes `PadTo`: keeps the top left `height` x `width` pixels."""

    def __init__(self, image_shape: ImageShape) -> None:
        super().__init__()
        _, self.height, self.width = image_shape

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(b, c, h', w')` to `(b, c, h, w)`."""
        return x[..., : self.height, : self.width].contiguous()


def mlp_activation(x: Tensor) -> Tensor:
    """Maps each value by the Gaussian error linear unit, in its approximation by tanh."""
    return nn.functional.gelu(x, approximate="tanh")


class ResidualMLPBlock(nn.Module):
    """Pre-norm residual block `x + W2 gelu(W1 norm(x))`; starts as the identity."""

    def __init__(self, width: int, *, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden)
        self.dropout = nn.Dropout(dropout)
        self.contract = nn.Linear(hidden, width)
        nn.init.zeros_(self.contract.weight)
        nn.init.zeros_(self.contract.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(batch, width)` to the same shape."""
        hidden = mlp_activation(self.expand(self.norm(x)))
        change: Tensor = self.contract(self.dropout(hidden))
        return x + change


class ResidualConvBlock(nn.Module):
    """Pre-activation residual block of two 3x3 convolutions (He et al., arXiv:1603.05027)."""

    def __init__(self, channels: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout2d(dropout)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(batch, channels, h, w)` to the same shape."""
        hidden = self.conv1(torch.relu(self.norm1(x)))
        change: Tensor = self.conv2(self.dropout(torch.relu(self.norm2(hidden))))
        return x + change


class ChannelsLast(nn.Module):
    """Stores activations channel by channel within a pixel: the fast layout on CPUs."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns the same `(b, c, h, w)` values in channels-last memory order."""
        # `contiguous(memory_format=...)` does the same, but not inside torch.func.vmap
        return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
