"""A small classifier of grey 28 x 28 images whose features need no download."""

import torch
from torch import Tensor, nn

from paecli.model.networks.layers import Centre, ChannelsLast, ResidualConvBlock

FINE, COARSE = 64, 128  # channels at 14 x 14 and at 7 x 7


class GreyClassifier(nn.Module):
    """A residual network over grey 28 x 28 images; its pooled activations are features."""

    def __init__(self, *, classes: int) -> None:
        """Builds the network with random weights.

        Args:
            classes: how many classes it tells apart.
        """
        super().__init__()
        self.fine = nn.Sequential(
            Centre(),
            ChannelsLast(),
            # a full-resolution layer would cost more than all others together
            nn.PixelUnshuffle(2),
            nn.Conv2d(4, FINE, 3, padding=1),
            ResidualConvBlock(FINE),
            ResidualConvBlock(FINE),
        )
        self.coarse = nn.Sequential(
            nn.Conv2d(FINE, COARSE, 3, stride=2, padding=1),
            ResidualConvBlock(COARSE),
            ResidualConvBlock(COARSE),
        )
        self.fine_end, self.coarse_end = _end(FINE), _end(COARSE)
        self.head = nn.Linear(FINE + COARSE, classes)

    def features(self, x: Tensor) -> Tensor:
        """Maps `(b, 1, 28, 28)` in [0, 1] to `(b, 192)`: means over both resolutions' maps."""
        fine = self.fine_end(self.fine(x))
        coarse = self.coarse_end(self.coarse(fine))
        return torch.cat((fine.mean((2, 3)), coarse.mean((2, 3))), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(b, 1, 28, 28)` in [0, 1] to logits `(b, classes)`."""
        return self.head(self.features(x))  # type: ignore[no-any-return]


def _end(channels: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())


class ClassifierFeatures:
    """Features of a trained `GreyClassifier`."""

    name = "classifier"
    size = FINE + COARSE
    batch = 250

    def __init__(self, network: GreyClassifier, *, identity: str, description: str) -> None:
        """Wraps a trained network.

        Args:
            network: the classifier.
            identity: SHA-256 of its weights.
            description: what it was trained on, for the protocol line.
        """
        self.identity = identity
        self.description = description
        self._network = network.eval().to(memory_format=torch.channels_last)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Maps `(b, 1, 28, 28)` uint8 to `(b, 192)` float32."""
        return self._network.features(images.float() / 255)
