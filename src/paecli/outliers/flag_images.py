"""`pae ood IMAGES...`: a p-value for each image, and which ones to flag."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor

from paecli.data.images.files import read_image
from paecli.data.images.listing import find_all
from paecli.data.images.opening import several_note
from paecli.model.model import Model
from paecli.model.requirements import require_rate
from paecli.outliers.conformal import benjamini_hochberg, p_values
from paecli.outliers.scores import measure_with_parts
from paecli.system.errors import ImageError
from paecli.system.names import counted
from paecli.system.progress import NullProgress, Progress

CHUNK = 500  # images in memory at the same time
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
    readable, measured, unreadable, seen, spoke = _score_files(model, found, names, progress)
    scored = [
        ScoredImage(path, p_value, False, *values)
        for path, p_value, *values in zip(
            readable,
            p_values(measured[score], reference).tolist(),
            measured[score].tolist(),
            (-measured["log_prob"]).tolist(),
            measured["reconstruction_error"].tolist(),
            spoke,
            strict=True,
        )
    ]
    images = flag(scored, fpr, fdr)
    return FlagReport(
        images=images,
        unreadable=(*closed, *unreadable),
        score=score,
        fpr=fpr,
        fdr=fdr,
        reference_count=len(reference),
        **show_unusual(model, images, seen),
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


def _score_files(
    model: Model, paths: Sequence[Path], names: Sequence[str], progress: Progress
) -> tuple[
    list[Path], dict[str, Tensor], list[tuple[Path, str]], dict[Path, Tensor], list[str | None]
]:
    """Reads and scores files chunk by chunk, each once: they may be gone afterwards.

    Returns:
        The files that could be read, for each of `names` their scores, the other files with
        reasons, the pixels of those that score highest by the first of `names`, and the parts that
        made the scores of all.
    """
    readable: list[Path] = []
    unreadable: list[tuple[Path, str]] = []
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    spoke: list[str | None] = []
    several: list[Path] = []
    highest: list[tuple[float, Path, Tensor]] = []
    with progress.task("scoring images", len(paths)) as task:
        for begin in range(0, len(paths), CHUNK):
            pixels: list[Tensor] = []
            for path in paths[begin : begin + CHUNK]:
                try:
                    image = read_image(path, image_shape=model.image_shape)
                    pixels.append(image.pixels)
                    readable.append(path)
                    several += [path] * image.several
                except ImageError as error:
                    unreadable.append((path, str(error)))
                task.advance()
            if pixels:
                scores, loudest = measure_with_parts(model, torch.stack(pixels), names)
                spoke += loudest or [None] * len(pixels)
                for name, values in scores.items():
                    parts[name].append(values)
                latest = parts[names[0]][-1].tolist()
                highest += zip(latest, readable[-len(pixels) :], pixels, strict=True)
                highest = sorted(highest, key=lambda each: -each[0])[:SHOWN]
    if note := several_note(several):
        progress.say(note)
    if not readable:
        more = len(unreadable) - 1
        others = f" ({counted(more, 'other')} failed too)" if more else ""
        raise ImageError(f"{unreadable[0][1]}{others}")
    measured = {name: torch.cat(values) for name, values in parts.items()}
    return readable, measured, unreadable, {path: image for _, path, image in highest}, spoke
