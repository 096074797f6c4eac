"""Reads images one by one into what the stages learn from: sums, and latents of patches."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from paecli.data.images.photographs import read_photograph
from paecli.model.patches.model import (
    PEAK,
    PIXEL,
    TOP,
    PatchPAE,
    enlarge,
    finite,
    image_score,
    rings,
)
from paecli.system.progress import Progress

MOST_PATCHES = 400_000  # that a flow is trained on; more add little and cost memory
MOST_IMAGES = 100  # whose scores tell what is usual at which distance from the border
MOST_PIXELS = 50_000  # whose scores are kept; a pixel's p-value goes down to one in so many


def fit_autoencoder(model: PatchPAE, files: Sequence[Path], *, progress: Progress) -> float:
    """Fits stage 1 to the patches of images, without keeping them.

    Args:
        model: its `autoencoder` is set.
        files: images.
        progress: told of every image.

    Returns:
        Seconds.
    """
    start = time.perf_counter()
    size = model.autoencoder.size
    total = torch.zeros(size, dtype=torch.float64)
    products = torch.zeros(size, size, dtype=torch.float64)
    count = 0
    with progress.task("reading features", len(files)) as task:
        for file in files:
            patches = model.feature_map(read_photograph(file)).flatten(1).double()
            total += patches.sum(1)
            products += patches @ patches.T
            count += patches.shape[1]
            task.advance()
    model.autoencoder.fit(total, products, count)
    return time.perf_counter() - start


def patch_latents(
    model: PatchPAE, files: Sequence[Path], *, seed: int, progress: Progress
) -> Tensor:
    """Returns latents of the patches of images, `(n, latent_size)`, at most 400,000 of them.

    Args:
        model: with a fitted autoencoder.
        files: images.
        seed: chooses the patches where there are too many.
        progress: told of every image.
    """
    generator = torch.Generator().manual_seed(seed)
    most = max(MOST_PATCHES // len(files), 1)
    parts = []
    with progress.task("reading features", len(files)) as task:
        for file in files:
            z = model.encode(read_photograph(file)).flatten(0, 1)
            parts.append(z[torch.randperm(len(z), generator=generator)[:most]])
            task.advance()
    return torch.cat(parts)


def measure_usual_scores(model: PatchPAE, files: Sequence[Path], *, progress: Progress) -> None:
    """Sets what scores are compared with, from images the model was trained on.

    Not from held-out ones: these must stay as unknown to the model as the images to come.

    Args:
        model: with a flow.
        files: images; of many, a few hundred are used.
        progress: told of every image.
    """
    files = files[:: -(-len(files) // MOST_IMAGES)]
    scores, ring = [], []
    with progress.task("scoring training images", len(files)) as task:
        for file in files:
            parts = model.score_cells(read_photograph(file))
            scores.append(finite(parts[0] + parts[1]).flatten())
            ring.append(rings(parts[0].shape).flatten())
            task.advance()
    model.fit_usual(torch.cat(scores), torch.cat(ring))


def measure_held_out_maps(model: PatchPAE, files: Sequence[Path], *, progress: Progress) -> None:
    """Sets what p-values compare with: scores of reference images and of their pixels.

    Args:
        model: with a flow.
        files: images that nothing was fitted to.
        progress: told of every image.
    """
    most = max(MOST_PIXELS // len(files), 1)
    tops, peaks, pixels = [], [], []
    with progress.task("scoring held-out images", len(files)) as task:
        for file in files:
            image = read_photograph(file)
            cells = model.compare(*model.score_cells(image))
            scores = enlarge(cells, (image.shape[-2], image.shape[-1]))
            tops.append(image_score(cells))
            peaks.append(scores.max())
            pixels.append(evenly_spaced(scores.flatten().sort().values, most))
            task.advance()
    model.reference_scores = {
        TOP: torch.tensor(tops).sort().values,
        PEAK: torch.stack(peaks).sort().values,
        PIXEL: torch.cat(pixels).sort().values,
    }


def evenly_spaced(ascending: Tensor, most: int) -> Tensor:
    """Thins ascending values `(n,)` to at most `most`; the largest is kept."""
    if len(ascending) <= most:
        return ascending
    return ascending[torch.linspace(0, len(ascending) - 1, most).round().long()]
