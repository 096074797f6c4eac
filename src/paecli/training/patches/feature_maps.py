"""Feature maps of images, read once, and what the stages learn from them: sums and latents."""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from paecli.data.images.photographs import read_photograph
from paecli.model.patches.autoencoder import PatchAutoencoder
from paecli.model.patches.features import STRIDE
from paecli.model.patches.model import PatchPAE
from paecli.system.progress import Progress
from paecli.training.patches.painting import Image, Painted, paint_defects

MOST_PATCHES = 20_000  # that a flow is trained on; there is one for each fold, and more add little
MOST_FITTED = 100  # images whose patches principal components are fitted to
MOST_BYTES = 2**29  # of feature maps that are kept in memory
LARGEST_PAINTED = 2  # areas of the working image; what is larger is shrunk before it is painted
NEIGHBOURS = 20  # images read before, one of which lends textures


@dataclass(frozen=True, eq=False)
class PaintedMap:
    """The patches of an image with painted defects.

    Attributes:
        features: `(size, h', w')`, one vector a patch.
        defective: `(h', w')` share of a patch that is painted visibly, in [0, 1].
        touched: `(h', w')` bool, True where a patch was painted at all.
    """

    features: Tensor
    defective: Tensor
    touched: Tensor


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """The patches of an image.

    Attributes:
        features: `(size, h', w')`, one vector a patch.
        height: of the image, in pixels.
        width: of the image, in pixels.
        painted: the same of the image with painted defects; None where nothing learns from it.
    """

    features: Tensor
    height: int
    width: int
    painted: PaintedMap | None = None

    @property
    def patches(self) -> Tensor:
        """One row a patch, `(h' * w', size)`."""
        return self.features.flatten(1).T


def read_feature_map(model: PatchPAE, file: Path) -> FeatureMap:
    """Reads an image and describes its patches."""
    image = read_photograph(file)
    return FeatureMap(model.feature_map(image), image.shape[-2], image.shape[-1])


def read_feature_maps(
    model: PatchPAE, files: Sequence[Path], *, paint: int | None = None, progress: Progress
) -> list[FeatureMap]:
    """Reads images and describes their patches; of very many, evenly spaced ones.

    Args:
        model: its features are used.
        files: images.
        paint: if given, each is described with painted defects, too; seed of what is painted.
        progress: told of every image.

    Returns:
        One map an image, in their order; half a gigabyte at most.
    """
    size = 4 * read_feature_map(model, files[0]).features.numel() * (1 if paint is None else 2)
    files = evenly_spaced(files, max(MOST_BYTES // size, 2))
    painter = None if paint is None else _Painter(model, paint)
    maps = []
    with progress.task("reading features", len(files)) as task:
        for file in files:
            image = read_photograph(file)
            painted = None if painter is None else painter(image)
            maps.append(
                FeatureMap(model.feature_map(image), image.shape[-2], image.shape[-1], painted)
            )
            task.advance()
    return maps


def evenly_spaced(files: Sequence[Path], most: int) -> Sequence[Path]:
    """Returns at most so many of the files, evenly spaced."""
    return files[:: -(-len(files) // most)]


class _Painter:
    """Paints defects on one image after the other, with textures of those before."""

    def __init__(self, model: PatchPAE, seed: int) -> None:
        self.model, self.seed, self.count = model, seed, 0
        self.before: deque[Image] = deque(maxlen=NEIGHBOURS)

    def __call__(self, image: Tensor) -> PaintedMap:
        rng = np.random.default_rng((self.seed, self.count))
        own = _turned(_shrunk(image, LARGEST_PAINTED * self.model.area), rng)
        self.before.append(own)
        other = self.before[rng.integers(len(self.before))]
        self.count += 1
        return _describe(self.model, paint_defects(own, other, rng))


def _describe(model: PatchPAE, painted: Painted) -> PaintedMap:
    features = model.feature_map(torch.from_numpy(painted.image))
    grid = features.shape[1:]
    return PaintedMap(
        features,
        _share(torch.from_numpy(painted.defects), grid),
        _share(torch.from_numpy(painted.touched), grid) > 0,
    )


def _share(mask: Tensor, grid: torch.Size) -> Tensor:
    """Returns the share of each patch `(h', w')` that a mask `(h, w)` covers."""
    size = [STRIDE * cells for cells in grid]
    return F.avg_pool2d(F.interpolate(mask[None, None].float(), size, mode="bilinear"), STRIDE)[
        0, 0
    ]


def _shrunk(image: Tensor, most: int) -> Tensor:
    """Shrinks an image `(c, h, w)` with more than `most` pixels to about as many."""
    height, width = image.shape[-2:]
    factor = (most / (height * width)) ** 0.5
    if factor >= 1:
        return image
    size = [max(round(side * factor), 1) for side in (height, width)]
    return F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]


def _turned(image: Tensor, rng: np.random.Generator) -> Image:
    """Flips an image, so that its good parts are seen in other ways, too."""
    flips = [axis for axis in (1, 2) if rng.random() < 0.5]
    return np.ascontiguousarray(image.flip(flips).numpy())


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
    with progress.task("reading features", len(files)) as task:

        def maps() -> Iterable[FeatureMap]:
            for file in files:
                yield read_feature_map(model, file)
                task.advance()

        fit_components(model.autoencoder, maps())
    return time.perf_counter() - start


def fit_components(autoencoder: PatchAutoencoder, maps: Iterable[FeatureMap]) -> None:
    """Fits principal components to the patches of images, one image after the other."""
    size = autoencoder.size
    total = torch.zeros(size, dtype=torch.float64)
    products = torch.zeros(size, size, dtype=torch.float64)
    count = 0
    for each in maps:
        patches = each.patches.double()
        total += patches.sum(0)
        products += patches.T @ patches
        count += len(patches)
    autoencoder.fit(total, products, count)


def patch_latents(
    autoencoder: PatchAutoencoder, maps: Sequence[FeatureMap], *, seed: int
) -> Tensor:
    """Returns latents of the patches of images, `(n, latent_size)`, at most 20,000 of them.

    Args:
        autoencoder: fitted.
        maps: of images.
        seed: chooses the patches where there are too many.
    """
    generator = torch.Generator().manual_seed(seed)
    most = max(MOST_PATCHES // len(maps), 1)
    parts = []
    for each in maps:
        z = autoencoder.encode(each.patches)
        parts.append(z[torch.randperm(len(z), generator=generator)[:most]])
    return torch.cat(parts)
