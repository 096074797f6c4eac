"""`pae fid`: how far two sets of images are apart, without any model."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from paecli.evaluation.features.network import FeatureNetwork
from paecli.evaluation.fid import (
    GaussianStatistics,
    frechet_distance,
    frechet_standard_error,
    gaussian_statistics,
)
from paecli.evaluation.image_sets import (
    ImageSetFeatures,
    is_statistics,
    read_features,
    read_statistics,
)
from paecli.evaluation.kid import kernel_distance
from paecli.evaluation.sample_quality import FEWEST_IMAGES, RESAMPLES, RESAMPLES_WIDE, WIDE
from paecli.model.requirements import require_comparable
from paecli.system.errors import DataError
from paecli.system.progress import NullProgress, Progress

KEPT_OF = "inception"  # what pytorch-fid's statistics are of
KEPT_DESCRIPTION = "the features that both files were made of"


@dataclass(frozen=True)
class FolderDistance:
    """How far two sets are apart.

    Attributes:
        features: name of the feature network.
        frechet: squared Frechet distance; with inception the FID.
        frechet_ci: its 95 % interval by the bootstrap; None for statistics, and of few images.
        kernel: kernel distance (KID), or None when not asked for.
        kernel_ci: its 95 % interval, or None.
        images: in each set; None where only statistics are known.
        protocol: everything that must be equal for two figures to be comparable.
    """

    features: str
    frechet: float
    frechet_ci: tuple[float, float] | None
    kernel: float | None
    kernel_ci: tuple[float, float] | None
    images: tuple[int | None, int | None]
    protocol: str


def compare_folders(
    a: Path,
    b: Path,
    network: FeatureNetwork | None,
    *,
    kernel: bool = False,
    seed: int = 0,
    progress: Progress = NullProgress(),
) -> FolderDistance:
    """Compares two sets of images through a feature network.

    Args:
        a: a folder of images, or an `.npz` file of statistics as pytorch-fid keeps them.
        b: the other one.
        network: what computes the features; None if both sides are statistics.
        kernel: whether to compute the kernel distance too, of two folders.
        seed: of the bootstrap.
        progress: told of the features.

    Raises:
        DataError: no images, fewer than two, or a file that holds no statistics.
    """
    sides = [_Side.read(path, network, progress) for path in (a, b)]
    sizes = [len(side.statistics.mean) for side in sides]
    if sizes[0] != sizes[1]:
        raise DataError(f"{a} has {sizes[0]} features and {b} {sizes[1]}; they do not compare")
    pair = [side.features for side in sides if side.features is not None]
    generator = torch.Generator().manual_seed(seed)
    distance = frechet_distance(sides[0].statistics, sides[1].statistics)
    measured = len(pair) == len(sides) and min(map(len, pair)) >= FEWEST_IMAGES
    spread = _interval(distance, pair, generator, progress) if measured else None
    other = kernel_distance(pair[0], pair[1]) if kernel and measured else None
    return FolderDistance(
        features=network.name if network else KEPT_OF,
        frechet=distance,
        frechet_ci=spread,
        kernel=other.value if other else None,
        kernel_ci=other.ci if other else None,
        images=(sides[0].count, sides[1].count),
        protocol=f"squared Frechet distance, {sides[0].label} against {sides[1].label}, "
        f"rounded to 8 bit; {network.description if network else KEPT_DESCRIPTION}",
    )


@dataclass(frozen=True, eq=False)
class _Side:
    label: str
    statistics: GaussianStatistics
    features: Tensor | None
    count: int | None

    @classmethod
    def read(cls, path: Path, network: FeatureNetwork | None, progress: Progress) -> "_Side":
        if is_statistics(path):
            size = network.size if network else None
            return cls(f"statistics of {path}", read_statistics(path, size=size), None, None)
        if network is None:
            raise DataError(f"{path} holds no statistics; name a network for its images")
        found: ImageSetFeatures = read_features(path, network, progress=progress)
        count = len(found.features)
        require_comparable(str(path), count)
        if count <= network.size:
            progress.say(
                f"{path} holds {count:,} images for {network.size:,} features: the distance says "
                "more about their number than about the images; compare equal numbers only"
            )
        label = f"{count:,} images of {path}"
        return cls(label, gaussian_statistics(found.features), found.features, count)


def _interval(
    distance: float, pair: list[Tensor], generator: torch.Generator, progress: Progress
) -> tuple[float, float]:
    resamples = RESAMPLES_WIDE if pair[0].shape[1] > WIDE else RESAMPLES
    with progress.task("bootstrap of the Frechet distance", resamples) as task:
        error = frechet_standard_error(
            pair[0], pair[1], resamples=resamples, generator=generator, after_each=task.advance
        )
    return max(0.0, distance - 1.96 * error), distance + 1.96 * error
