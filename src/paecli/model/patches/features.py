"""Features of patches: an image of any size to a map of vectors, one vector a patch."""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from paecli.model.patches.lite0 import STAGES, Lite0

STRIDE = 16  # pixels of the working image from one patch to the next; its sides are multiples


class PatchFeatures(Protocol):
    """Maps images to maps of patch features.

    Attributes:
        name: `photo` or `pixels`.
        identity: SHA-256 of the weights; empty without weights.
        size: length of a patch's feature vector.
        odds_weight: weight of a discriminator's log odds beside the density of these features,
            chosen on painted defects (docs/decisions.md).
    """

    name: str
    identity: str
    size: int
    odds_weight: float

    def __call__(self, images: Tensor) -> Tensor:
        """Maps `(b, 1 or 3, h, w)` in [0, 1] to `(b, size, h / 16, w / 16)`."""


class PhotoFeatures:
    """Stages of a network that was trained on photographs, on one grid.

    The last stages at strides 8 and 16 and the one between them; deeper ones know objects, not
    surfaces. PaDiM and PatchCore use the same depth of other networks.
    """

    name = "photo"
    stages = (2, 3, 4)
    size = sum(STAGES[stage][-1] for stage in stages)
    odds_weight = 0.15

    def __init__(self, network: Lite0, *, identity: str) -> None:
        """Takes a network with its published weights, whose SHA-256 is `identity`."""
        self.network = network.eval()
        self.identity = identity

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Maps `(b, 1 or 3, h, w)` in [0, 1] to `(b, 232, h / 16, w / 16)`."""
        maps = self.network.stage_maps(images.expand(-1, 3, -1, -1) * 255, last=max(self.stages))
        grid = (images.shape[-2] // STRIDE, images.shape[-1] // STRIDE)
        fitted = [F.adaptive_avg_pool2d(maps[stage], grid) for stage in self.stages]
        return torch.cat(fitted, dim=1).contiguous()
