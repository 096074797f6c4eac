"""`pae ood IMAGES...`: a p-value for each image, and which ones to flag."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor

from paecli.data.images.listing import find_all
from paecli.model.model import Model
from paecli.model.requirements import require_rate
from paecli.outliers.conformal import benjamini_hochberg, p_values
from paecli.outliers.score_files import score_files
from paecli.system.progress import NullProgress, Progress

SHOWN = 8  # most unusual images to picture


@dataclass(frozen=True)
class Region:
    """A connected part of an image whose pixels score higher than those of reference images.

    Attributes:
        box: left, top, right and bottom in pixels of the image; right and bottom are outside.
        area: pixels.
        p_value: share of reference images with a region at least as unusual anywhere.
    """

    box: tuple[int, int, int, int]
    area: int
    p_value: float


@dataclass(frozen=True)
class ScoredImage:
    """One image.

    Attributes:
        path: its file.
        p_value: share of reference images that are at least as unusual, in (0, 1].
        outlier: whether it is flagged.
        score: the value the p-value is made of, higher = more unusual.
        log_prob: log density of its latent, nats.
        reconstruction_error: mean squared error of a pixel, pixels in [0, 1]. For models of
            patches, what stage 1 left out of a patch and its log density, both in nats and as
            means over the patches.
        spoke: the part of the score `combined` that made it, see `Voices.name_loudest`; None for
            other scores and models without parts.
        regions: where it is unusual; None where nobody asked.
    """

    path: Path
    p_value: float
    outlier: bool
    score: float
    log_prob: float
    reconstruction_error: float
    spoke: str | None = None
    regions: tuple[Region, ...] | None = None


class Unusual(TypedDict):
    """What a `FlagReport` shows of the most unusual images."""

    unusual: tuple[ScoredImage, ...]
    unusual_pixels: Tensor
    unusual_reconstructions: Tensor


@dataclass(frozen=True, eq=False)
class FlagReport:
    """What `flag_images` found.

    Attributes:
        images: one an image that could be read, in the order of the paths.
        unreadable: path and reason of each of the others, dangling links among them.
        score: name of the score.
        fpr: rate of false positives that was asked for; counts when `fdr` is None.
        fdr: rate of false discoveries that was asked for, or None.
        reference_count: reference images behind the p-values.
        unusual: the most unusual images, most unusual first.
        unusual_pixels: `(k, c, h, w)` their pixels as the model sees them, in [0, 1].
        unusual_reconstructions: what the model makes of them, the same shape; None for models
            of patches, which reconstruct no images.
        unusual_maps: `(k, 1, h, w)` instead, minus the logarithm to base 10 of the p-values of
            their pixels.
        seconds: how long it took.
    """

    images: tuple[ScoredImage, ...]
    unreadable: tuple[tuple[Path, str], ...]
    score: str
    fpr: float
    fdr: float | None
    reference_count: int
    unusual: tuple[ScoredImage, ...]
    unusual_pixels: Tensor
    unusual_reconstructions: Tensor | None
    seconds: float
    unusual_maps: Tensor | None = None

    @property
    def flagged(self) -> int:
        """How many images are flagged."""
        return sum(image.outlier for image in self.images)

    @property
    def ranked(self) -> list[ScoredImage]:
        """The images, most unusual first."""
        return most_unusual_first(self.images)


def flag_images(
    model: Model,
    paths: Sequence[Path],
    *,
    score: str,
    fpr: float = 0.05,
    fdr: float | None = None,
    progress: Progress = NullProgress(),
) -> FlagReport:
    """Tells which images the model finds unusual.

    Args:
        model: a model with reference scores.
        paths: image files and folders.
        score: name of a score.
        fpr: share of in-distribution images that may be flagged by mistake.
        fdr: if given, share of the flagged images that may be in-distribution (Benjamini-Hochberg).
        progress: told of every image, and what in folders was passed over.

    Raises:
        DataError: a path does not exist, or nothing in it can be read.
        CheckpointError: the model has no reference scores of this kind.
        UsageError: the rate is smaller than the reference scores can tell.
    """
    start = time.perf_counter()
    reference = model.require_reference_scores(score)
    require_rate(fpr if fdr is None else fdr, len(reference))
    found, closed = find_all(paths, progress=progress)
    names = (score, "log_prob", "reconstruction_error")
    files = score_files(model, found, names, shown=SHOWN, progress=progress)
    measured = files.scores
    scored = [
        ScoredImage(path, p_value, False, *values)
        for path, p_value, *values in zip(
            files.readable,
            p_values(measured[score], reference).tolist(),
            measured[score].tolist(),
            (-measured["log_prob"]).tolist(),
            measured["reconstruction_error"].tolist(),
            files.spoke,
            strict=True,
        )
    ]
    images = flag(scored, fpr, fdr)
    return FlagReport(
        images=images,
        unreadable=(*closed, *files.unreadable),
        score=score,
        fpr=fpr,
        fdr=fdr,
        reference_count=len(reference),
        **show_unusual(model, images, files.pixels),
        seconds=time.perf_counter() - start,
    )


def flag(images: Sequence[ScoredImage], fpr: float, fdr: float | None) -> tuple[ScoredImage, ...]:
    """Flags images by their p-values: at a rate of false positives, or of false discoveries."""
    p = torch.tensor([image.p_value for image in images], dtype=torch.float64)
    flags = p <= fpr if fdr is None else benjamini_hochberg(p, fdr)
    return tuple(
        replace(image, outlier=outlier)
        for image, outlier in zip(images, flags.tolist(), strict=True)
    )


def show_unusual(
    model: Model, images: Sequence[ScoredImage], pixels: Mapping[Path, Tensor]
) -> Unusual:
    """Returns the most unusual images as the model sees them, for `FlagReport`.

    Args:
        model: makes the reconstructions.
        images: scored images, at least 1.
        pixels: `(c, h, w)` of each that may be among the most unusual.
    """
    unusual = tuple(most_unusual_first(images)[:SHOWN])
    seen = torch.stack([pixels[image.path] for image in unusual])
    return {
        "unusual": unusual,
        "unusual_pixels": seen,
        "unusual_reconstructions": model.reconstruct(seen),
    }


def most_unusual_first(images: Sequence[ScoredImage]) -> list[ScoredImage]:
    """Sorts images; many may share the smallest p-value."""
    return sorted(images, key=lambda image: (image.p_value, -image.score))
