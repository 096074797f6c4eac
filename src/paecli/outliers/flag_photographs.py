"""`pae ood IMAGES...` with a model of patches: p-values, and where each image is unusual."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from paecli.data.images.listing import find_all
from paecli.data.images.photographs import read_photograph
from paecli.model.patches.model import TOP, PatchPAE, enlarge, image_score
from paecli.model.requirements import require_rate
from paecli.outliers.conformal import p_values
from paecli.outliers.flag_images import (
    SHOWN,
    FlagReport,
    ScoredImage,
    flag,
    most_unusual_first,
)
from paecli.outliers.map_images import ImageMap, locate
from paecli.system.errors import ImageError
from paecli.system.progress import NullProgress, Progress

THUMBNAIL = 128  # pixels a side of the most unusual images as they are shown


def flag_photographs(
    model: PatchPAE,
    paths: Sequence[Path],
    *,
    fpr: float = 0.05,
    fdr: float | None = None,
    show: Callable[[ImageMap], None] | None = None,
    leave_out: Path | None = None,
    progress: Progress = NullProgress(),
) -> FlagReport:
    """Tells which images the model finds unusual, and where.

    Args:
        model: with a flow.
        paths: image files and folders.
        fpr: share of in-distribution images that may be flagged, or have a region, by mistake.
        fdr: if given, share of the flagged images that may be in-distribution (Benjamini-Hochberg);
            regions keep to `fpr`.
        show: called with the map of every image.
        leave_out: a folder that is about to be written to.
        progress: told of every image.

    Raises:
        DataError: a path does not exist, or nothing in it can be read.
        UsageError: the rate is smaller than the reference scores can tell.
    """
    start = time.perf_counter()
    reference = model.reference_tops
    for rate in (fpr, fdr):
        if rate is not None:
            require_rate(rate, len(reference))
    files, closed = find_all(paths, leave_out=leave_out, progress=progress)
    scored: list[ScoredImage] = []
    pictures: dict[Path, tuple[Tensor, Tensor]] = {}  # of the most unusual so far
    unreadable: list[tuple[Path, str]] = []
    with progress.task("scoring images", len(files)) as task:
        for file in files:
            try:
                found, image = _score(model, file, fpr)
            except ImageError as error:
                unreadable.append((file, str(error)))
            else:
                scored.append(image)
                pictures[file] = _thumbnails(found)
                _keep_highest(pictures, scored)
                if show is not None:
                    show(found)
            task.advance()
    if not scored:
        raise ImageError(unreadable[0][1])
    images = _flagged(scored, reference, fpr, fdr)
    unusual = tuple(most_unusual_first(images)[:SHOWN])
    return FlagReport(
        images=images,
        unreadable=(*closed, *unreadable),
        score=TOP,
        fpr=fpr,
        fdr=fdr,
        reference_count=len(reference),
        unusual=unusual,
        unusual_pixels=torch.stack([pictures[image.path][0] for image in unusual]),
        unusual_reconstructions=None,
        unusual_maps=torch.stack([pictures[image.path][1] for image in unusual]),
        seconds=time.perf_counter() - start,
    )


def _score(model: PatchPAE, file: Path, rate: float) -> tuple[ImageMap, ScoredImage]:
    image = read_photograph(file)
    parts = model.score_cells(image)
    cells = model.compare(parts)
    scores = enlarge(cells, (image.shape[-2], image.shape[-1]))
    found = locate(model, file, image, scores, rate=rate)
    return found, ScoredImage(
        path=file,
        p_value=1.0,
        outlier=False,
        score=image_score(cells),
        log_prob=-parts.surprise.mean().item(),
        reconstruction_error=parts.energy.mean().item(),
        regions=found.regions,
    )


def _flagged(
    scored: Sequence[ScoredImage], reference: Tensor, fpr: float, fdr: float | None
) -> tuple[ScoredImage, ...]:
    """Fills in p-values and flags, which may depend on all images."""
    p = p_values(torch.tensor([image.score for image in scored], dtype=reference.dtype), reference)
    told = [replace(image, p_value=each) for image, each in zip(scored, p.tolist(), strict=True)]
    return flag(told, fpr, fdr)


def _thumbnails(found: ImageMap) -> tuple[Tensor, Tensor]:
    """Returns small pictures of an image, `(3, h, w)`, and of its map, `(1, h, w)`."""
    return (
        _fit(found.image.expand(3, -1, -1), fill=1.0),
        _fit(-found.p_values.log10().float()[None], fill=0.0),
    )


def _keep_highest(pictures: dict[Path, tuple[Tensor, Tensor]], scored: list[ScoredImage]) -> None:
    """Drops the pictures of an image that can no longer be among the most unusual ones."""
    if len(pictures) > SHOWN:
        shown = [image for image in scored if image.path in pictures]
        del pictures[min(shown, key=lambda image: image.score).path]


def _fit(picture: Tensor, *, fill: float) -> Tensor:
    """Shrinks a picture `(c, h, w)` into a square and fills up what is left."""
    height, width = picture.shape[-2:]
    scale = THUMBNAIL / max(height, width)
    size = [max(round(side * scale), 1) for side in (height, width)]
    small = F.interpolate(picture[None], size=size, mode="bilinear", antialias=True)[0]
    square = picture.new_full((len(picture), THUMBNAIL, THUMBNAIL), fill)
    square[:, : size[0], : size[1]] = small.clamp_min(0)
    return square
