"""Principal components of images: what a linear autoencoder of some latent size would reach."""

from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST_NUMBERS = 50_000_000  # pixels that are looked at: 200 MB in float32
MOST_IMAGES = 10_000
SPARE = 10  # directions beside those asked for, which makes the last of these exact enough
PASSES = 4
ROWS = 1000  # images that are projected at once


@dataclass(frozen=True)
class PrincipalComponents:
    """The directions in which images vary most.

    Attributes:
        mean: `(d,)` mean image, d pixels in all channels, in [0, 1].
        directions: `(d, k)` orthonormal.
        variances: `(k,)` variance along each, falling.
        total: variance of all d pixels together.
    """

    mean: Tensor
    directions: Tensor
    variances: Tensor
    total: float

    def mse(self, images: Tensor, count: int | None = None) -> float:
        """Returns the mean squared error of a pixel of images `(n, c, h, w)`.

        Args:
            images: what is projected on the first components and back, uint8 or in [0, 1].
            count: how many components; all by default.
        """
        directions = self.directions[:, :count]
        total = 0.0
        for part in images.split(ROWS):
            centred = _flat(part) - self.mean
            total += (centred - centred @ directions @ directions.T).square().sum().item()
        return total / images.numel()

    def errors(self, images: Tensor) -> Tensor:
        """Returns the error that `mse` gives for 0, 1, 2, ... components, `(k + 1,)` float64."""
        left = torch.zeros(self.directions.shape[1] + 1, dtype=torch.float64)
        for part in images.split(ROWS):
            centred = _flat(part) - self.mean
            explained = (centred @ self.directions).square().sum(0, dtype=torch.float64)
            left[0] += centred.square().sum(dtype=torch.float64)
            left[1:] -= explained.cumsum(0)
        left[1:] += left[0]
        return left / images.numel()


def principal_components(images: Tensor, count: int) -> PrincipalComponents:
    """Finds principal components by a randomised singular value decomposition.

    Halko, Martinsson & Tropp (arXiv:0909.4061), as in torch; always the same directions.

    Args:
        images: `(n, c, h, w)`, uint8 or in [0, 1]; of many only an even part is looked at.
        count: how many components; fewer are returned where there are no more.
    """
    pixels = images[0].numel()
    most = max(min(MOST_IMAGES, LARGEST_NUMBERS // pixels), 2)
    few = images[:: -(-len(images) // most)]
    x = _flat(few)
    mean = x.mean(0)
    x = x - mean
    most_directions = min(*x.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, singular, directions = torch.svd_lowrank(
            x, q=min(count + SPARE, most_directions), niter=PASSES
        )
    count = min(count, most_directions)
    variances = singular[:count].square() / len(x)
    return PrincipalComponents(
        mean, directions[:, :count], variances, x.square().sum().item() / len(x)
    )


def _flat(images: Tensor) -> Tensor:
    """Returns images `(n, c, h, w)` as rows of floats in [0, 1]."""
    return images.flatten(1).float() / (255 if images.dtype == torch.uint8 else 1)
