"""`pae ood IMAGES --tiles`: one p-value for an image larger than the model's, over its tiles."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from paecli.data.images.files import read_image
from paecli.data.images.listing import find_all
from paecli.data.images.opening import open_image, oriented_size
from paecli.data.images.tiling import Corner, tile_corners
from paecli.model.model import Model
from paecli.model.requirements import require_rate
from paecli.outliers.conformal import p_values
from paecli.outliers.flag_images import (
    SHOWN,
    FlagReport,
    Region,
    ScoredImage,
    flag,
    most_unusual_first,
    show_unusual,
)
from paecli.outliers.score_files import CHUNK
from paecli.outliers.scores import measure_with_parts
from paecli.system.errors import ImageError, UsageError
from paecli.system.progress import NullProgress, Progress


@dataclass(frozen=True, eq=False)
class _Tiled:
    """One image: what its tiles say together, and its most unusual tile `(c, h, w)`."""

    image: ScoredImage
    tile: Tensor
    count: int


def flag_tiled(
    model: Model,
    paths: Sequence[Path],
    *,
    score: str,
    fpr: float = 0.05,
    fdr: float | None = None,
    progress: Progress = NullProgress(),
) -> FlagReport:
    """Tells which images have an unusual tile, and which tile.

    An image's p-value is the smallest of its tiles times their number (Bonferroni), at most 1. Each
    tile's is the share of held-out images, of the model's size, that are as unusual. If tiles
    are like these, the share of images with a p-value of `a` or less is at most `a`, however
    the tiles of an image depend on each other; dependent ones make it smaller.

    Args:
        model: a model with reference scores.
        paths: image files and folders; of the model's size or larger, kept at their own size.
        score: name of a score.
        fpr: share of in-distribution images that may be flagged by mistake.
        fdr: if given, share of the flagged images that may be in-distribution.
        progress: told of every image.

    Returns:
        As `flag_images`. The score of an image is that of its most unusual tile, the other figures
        are means over tiles, and `regions` are the tiles whose own p-value times the number of
        tiles is at most `fpr`. The most unusual tiles stand for the most unusual images.

    Raises:
        DataError: a path does not exist, or nothing in it can be read.
        UsageError: the rate is smaller than the reference scores can tell.
    """
    start = time.perf_counter()
    reference = model.require_reference_scores(score)
    require_rate(fpr if fdr is None else fdr, len(reference))
    files, closed = find_all(paths, progress=progress)
    tiled: list[_Tiled] = []
    unreadable: list[tuple[Path, str]] = []
    with progress.task("scoring images", len(files)) as task:
        for file in files:
            try:
                tiled.append(_score(model, file, score=score, reference=reference, rate=fpr))
            except (ImageError, UsageError) as error:
                unreadable.append((file, str(error)))
            tiled = _with_few_pixels(tiled)
            task.advance()
    if not tiled:
        raise ImageError(unreadable[0][1])
    _say_what_cannot_be_flagged(tiled, len(reference), fpr, progress)
    images = flag([each.image for each in tiled], fpr, fdr)
    tiles = {each.image.path: each.tile for each in tiled}
    return FlagReport(
        images=images,
        unreadable=(*closed, *unreadable),
        score=score,
        fpr=fpr,
        fdr=fdr,
        reference_count=len(reference),
        **show_unusual(model, images, tiles),
        seconds=time.perf_counter() - start,
    )


def _score(model: Model, file: Path, *, score: str, reference: Tensor, rate: float) -> _Tiled:
    channels, height, width = model.image_shape
    with open_image(file) as opened:
        size = oriented_size(opened)
    try:
        corners = tile_corners(size, (height, width), overlap=0)
    except UsageError as error:
        raise ImageError(f"{file}: {error}") from error
    pixels = read_image(file, image_shape=(channels, *size)).pixels
    names = (score, "log_prob", "reconstruction_error")
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    spoke: list[str] = []
    for begin in range(0, len(corners), CHUNK):
        tiles = torch.stack([corner.cut(pixels) for corner in corners[begin : begin + CHUNK]])
        scores, loudest = measure_with_parts(model, tiles, names)
        spoke += loudest or []
        for name, values in scores.items():
            parts[name].append(values)
    measured = {name: torch.cat(values) for name, values in parts.items()}
    p = p_values(measured[score], reference)
    worst = int(measured[score].argmax())
    joined = (len(corners) * p).clamp_max(1.0)
    image = ScoredImage(
        path=file,
        p_value=joined.min().item(),
        outlier=False,
        score=measured[score][worst].item(),
        log_prob=-measured["log_prob"].mean().item(),
        reconstruction_error=measured["reconstruction_error"].mean().item(),
        spoke=spoke[worst] if spoke else None,
        regions=_regions(corners, joined, measured[score], rate),
    )
    return _Tiled(image, corners[worst].cut(pixels).clone(), len(corners))


def _regions(
    corners: Sequence[Corner], joined: Tensor, scores: Tensor, rate: float
) -> tuple[Region, ...]:
    """Returns the tiles that are unusual by themselves, most unusual first."""
    order = [index for index in scores.argsort(descending=True).tolist() if joined[index] <= rate]
    return tuple(
        Region((left, top, left + width, top + height), height * width, joined[index].item())
        for index in order
        for top, left, height, width in (corners[index],)
    )


def _with_few_pixels(tiled: list[_Tiled]) -> list[_Tiled]:
    """Keeps the tiles of the most unusual images only; those of many would fill the memory."""
    if len(tiled) < 2 * CHUNK or len(tiled) % CHUNK:
        return tiled
    shown = {image.path for image in most_unusual_first([each.image for each in tiled])[:SHOWN]}
    empty = torch.zeros(0)
    return [each if each.image.path in shown else replace(each, tile=empty) for each in tiled]


def _say_what_cannot_be_flagged(
    tiled: Sequence[_Tiled], references: int, rate: float, progress: Progress
) -> None:
    most = max(each.count for each in tiled)
    finest = most / (references + 1)
    if finest > rate:
        progress.say(
            f"an image of {most:,} tiles has a p-value of at least {min(finest, 1):.2g} with "
            f"{references:,} held-out images, so none is flagged at {rate:g}; train on more "
            "images, use larger tiles, or set a higher --fpr"
        )
