"""Tells patches that hold a defect from good ones, having seen painted defects."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FARTHEST = 8.0  # standard deviations from the mean; beyond, features are cut off
DROPOUT = 0.1


class Discriminator(nn.Module):
    """A small network from the features of a patch to the log odds that it holds a defect.

    As the discriminators of SimpleNet (Liu et al., CVPR 2023), but taught by painted defects
    instead of noise. A density says how rare a patch is; this says whether it looks damaged:
    a mark of chalk is rare, too.

    Attributes:
        size: features of a patch.
        hidden: sizes of the hidden layers.
        weight: of the log odds in the score of a patch.
        mean: `(size,)` mean of the features of good patches.
        scale: `(size,)` their standard deviations.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, *, size: int, hidden: Sequence[int] = (128, 64), weight: float) -> None:
        """Builds the network with random weights."""
        super().__init__()
        self.size, self.hidden, self.weight = size, tuple(hidden), float(weight)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.layers = nn.ModuleList(nn.Linear(*sizes) for sizes in pairwise((size, *self.hidden)))
        self.last = nn.Linear(self.hidden[-1], 1)

    def forward(self, features: Tensor) -> Tensor:
        """Maps features `(n, size)` to log odds `(n,)`."""
        x = ((features - self.mean) / self.scale).clamp(-FARTHEST, FARTHEST)
        for number, layer in enumerate(self.layers):
            x = F.relu(layer(x))
            if number == 0:
                x = F.dropout(x, DROPOUT, self.training)
        odds: Tensor = self.last(x).squeeze(1)
        return odds

    @torch.no_grad()
    def fit_scale(self, features: Tensor) -> None:
        """Takes mean and standard deviations from good patches `(n, size)`, at least 2."""
        deviation = features.std(0)
        self.mean.copy_(features.mean(0))
        self.scale.copy_(deviation.clamp_min(max(1e-3 * deviation.max().item(), 1e-12)))
