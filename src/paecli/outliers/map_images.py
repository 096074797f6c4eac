"""Score maps of images, their regions, and what maps of reference images are like."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from paecli.data.images.photographs import read_photograph
from paecli.outliers.conformal import p_values
from paecli.outliers.flag_images import Region
from paecli.outliers.regions import find_regions
from paecli.system.errors import ImageError
from paecli.system.progress import NullProgress, Progress


class MapScorer(Protocol):
    """What scores the pixels of an image."""

    @property
    def reference_peaks(self) -> Tensor:
        """`(n,)` ascending highest scores of held-out reference images."""

    @property
    def reference_pixels(self) -> Tensor:
        """`(m,)` ascending scores of pixels of them."""

    def score_map(self, image: Tensor) -> Tensor:
        """Maps an image `(c, h, w)` in [0, 1] to scores `(h, w)`, higher = more unusual."""


@dataclass(frozen=True, eq=False)
class ImageMap:
    """Where one image is unusual.

    Attributes:
        path: its file.
        image: `(c, h, w)` in [0, 1], at its own size.
        scores: `(h, w)`, higher = more unusual.
        p_values: `(h, w)` share of the pixels of reference images that are at least as unusual.
        inside: `(h, w)` bool, the pixels of the regions.
        regions: most unusual first.
    """

    path: Path
    image: Tensor
    scores: Tensor
    p_values: Tensor
    inside: Tensor
    regions: tuple[Region, ...]


def map_images(
    scorer: MapScorer,
    paths: Sequence[Path],
    *,
    rate: float,
    unreadable: list[tuple[Path, str]],
    progress: Progress = NullProgress(),
) -> Iterator[ImageMap]:
    """Maps images one by one, so that any number of them fits into memory.

    Args:
        scorer: a model that scores pixels.
        paths: image files.
        rate: share of in-distribution images that may have any region.
        unreadable: gets the path of each file that cannot be read, and the reason.
        progress: told of every image.
    """
    with progress.task("mapping images", len(paths)) as task:
        for path in paths:
            try:
                image = read_photograph(path)
            except ImageError as error:
                unreadable.append((path, str(error)))
            else:
                yield locate(scorer, path, image, scorer.score_map(image), rate=rate)
            task.advance()


def locate(
    scorer: MapScorer, path: Path, image: Tensor, scores: Tensor, *, rate: float
) -> ImageMap:
    """Finds the regions of a score map `(h, w)`, and the p-value of each of its pixels."""
    regions, inside = find_regions(scores, reference_peaks=scorer.reference_peaks, rate=rate)
    chances = p_values(scores.flatten(), scorer.reference_pixels).view(scores.shape)
    return ImageMap(path, image, scores, chances, inside, regions)
