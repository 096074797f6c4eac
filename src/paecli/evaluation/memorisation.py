"""Are samples new images, or copies of training images?"""

from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor

CLOSE_QUANTILE = 0.01  # "very close": nearer than all but 1 % of fresh images are
ROWS = 500  # distances are computed in strips of so many rows
STRIP_BYTES = 32 << 20  # of training images as floats that are in memory together


@dataclass(frozen=True)
class Memorisation:
    """Do samples lie nearer to training images than fresh images do?

    Attributes:
        samples_distance: median distance of a sample to its nearest training image
            (root mean squared over pixels, [0, 1] units).
        fresh_distance: the same of a fresh image.
        copying_z: z of the Mann-Whitney test between the two (Meehan et al.,
            arXiv:2004.05675); well below -3 means that samples copy training images.
        very_close: fraction of samples nearer than all but 1 % of the fresh images;
            0.01 is expected, much more means copies.
        samples: how many samples were compared.
        training_images: with how many training images.
    """

    samples_distance: float
    fresh_distance: float
    copying_z: float
    very_close: float
    samples: int
    training_images: int


def memorisation(samples: Tensor, fresh: Tensor, train: Tensor) -> Memorisation:
    """Compares samples and fresh images `(n, c, h, w)` in [0, 1] with training images.

    Training images are uint8 or floats in [0, 1]; a set of them need not fit into memory.

    Fresh images should be reconstructions of test images: what a decoder makes is smoother
    than an image and so nearer to any other, whether or not it is a copy.
    """
    near_samples, near_fresh = nearest_distance(samples, train), nearest_distance(fresh, train)
    return Memorisation(
        samples_distance=near_samples.median().item(),
        fresh_distance=near_fresh.median().item(),
        copying_z=_rank_z(near_samples, near_fresh),
        very_close=(near_samples < near_fresh.quantile(CLOSE_QUANTILE)).double().mean().item(),
        samples=len(samples),
        training_images=len(train),
    )


def nearest_distance(x: Tensor, others: Tensor) -> Tensor:
    """Returns each image's root mean squared pixel distance to its nearest other, `(n,)`."""
    flat = x.flatten(1)
    nearest = flat.new_full((len(flat),), torch.inf)
    count = max(1, STRIP_BYTES // (flat.shape[1] * flat.element_size()))
    for part in others.split(count):
        strip = part.flatten(1).to(flat)
        if part.dtype == torch.uint8:
            strip.div_(255)
        rows = [torch.cdist(each, strip).amin(1) for each in flat.split(ROWS)]
        nearest = torch.minimum(nearest, torch.cat(rows))
    distances: Tensor = nearest / flat.shape[1] ** 0.5
    return distances


def _rank_z(a: Tensor, b: Tensor) -> float:
    """Returns the z of the Mann-Whitney U statistic: negative when `a` is smaller."""
    n, m = len(a), len(b)
    u = stats.mannwhitneyu(a.cpu().numpy(), b.cpu().numpy()).statistic
    return float((u - n * m / 2) / (n * m * (n + m + 1) / 12) ** 0.5)
