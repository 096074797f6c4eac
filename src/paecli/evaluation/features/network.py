"""Feature networks: images to the vectors that Frechet and kernel distances compare."""

from typing import Protocol

from torch import Tensor


class FeatureNetwork(Protocol):
    """Maps 8-bit images to feature vectors.

    Attributes:
        name: short name, part of every protocol line.
        description: network, weights and preprocessing in a few words.
        identity: SHA-256 of the weights; features of equal identity are comparable.
        size: length of a feature vector.
        batch: images that pass at once.
    """

    name: str
    description: str
    identity: str
    size: int
    batch: int

    def __call__(self, images: Tensor) -> Tensor:
        """Maps `(b, c, h, w)` uint8 to `(b, size)` float32."""


def to_8_bit(x: Tensor) -> Tensor:
    """Rounds images in [0, 1] to uint8, as saving them as PNG would."""
    return (x * 255).round().clamp(0, 255).byte()
