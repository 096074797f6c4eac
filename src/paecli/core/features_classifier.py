"""A small classifier of grey 28 x 28 images whose features need no download."""

import torch
from torch import Tensor, nn

from paecli.core.networks.layers import Centre, ChannelsLast

FINE, COARSE = 48, 96  # channels at 14 x 14 and at 7 x 7
IMAGE_SHAPE = (1, 28, 28)


class GreyClassifier(nn.Module):
    """A convolutional network over grey 28 x 28 images; its pooled activations are features."""

    def __init__(self, *, classes: int) -> None:
        """Builds the network with random weights.

        Args:
            classes: how many classes it tells apart.
        """
        super().__init__()
        self.fine = nn.Sequential(
            Centre(),
            ChannelsLast(),
            nn.PixelUnshuffle(2),
            _convolution(4, FINE),
            _convolution(FINE, FINE),
        )
        self.coarse = nn.Sequential(
            _convolution(FINE, COARSE, stride=2),
            _convolution(COARSE, COARSE),
            _convolution(COARSE, COARSE),
        )
        self.head = nn.Linear(FINE + COARSE, classes)

    def features(self, x: Tensor) -> Tensor:
        """Maps `(b, 1, 28, 28)` in [0, 1] to `(b, 144)`: means over both resolutions' maps."""
        fine = self.fine(x)
        coarse = self.coarse(fine)
        return torch.cat((fine.mean((2, 3)), coarse.mean((2, 3))), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(b, 1, 28, 28)` in [0, 1] to logits `(b, classes)`."""
        return self.head(self.features(x))  # type: ignore[no-any-return]


def _convolution(inputs: int, outputs: int, *, stride: int = 1) -> nn.Module:
    layer = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


class ClassifierFeatures:
    """Features of a trained `GreyClassifier`."""

    name = "classifier"
    size = FINE + COARSE
    batch = 500

    def __init__(self, network: GreyClassifier, *, identity: str, description: str) -> None:
        """Wraps a trained network.

        Args:
            network: the classifier.
            identity: SHA-256 of its weights.
            description: what it was trained on, for the protocol line.
        """
        self.identity = identity
        self.description = description
        self._network = network.eval()

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Maps `(b, 1, 28, 28)` uint8 to `(b, 144)` float32."""
        return self._network.features(images.float() / 255)
