"""Feature maps of images, read once, and what the stages learn from them: sums and latents."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from paecli.data.images.photographs import read_photograph
from paecli.model.patches.autoencoder import PatchAutoencoder
from paecli.model.patches.model import PatchPAE
from paecli.system.progress import Progress

MOST_PATCHES = 80_000  # that a flow is trained on; there is one for each fold, and more add little
MOST_BYTES = 2**29  # of feature maps that are kept in memory


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """The patches of an image.

    Attributes:
        features: `(size, h', w')`, one vector a patch.
        height: of the image, in pixels.
        width: of the image, in pixels.
    """

    features: Tensor
    height: int
    width: int

    @property
    def patches(self) -> Tensor:
        """One row a patch, `(h' * w', size)`."""
        return self.features.flatten(1).T


def read_feature_map(model: PatchPAE, file: Path) -> FeatureMap:
    """Reads an image and describes its patches."""
    image = read_photograph(file)
    return FeatureMap(model.feature_map(image), image.shape[-2], image.shape[-1])


def read_feature_maps(
    model: PatchPAE, files: Sequence[Path], *, progress: Progress
) -> list[FeatureMap]:
    """Reads images and describes their patches; of very many, evenly spaced ones.

    Args:
        model: its features are used.
        files: images.
        progress: told of every image.

    Returns:
        One map an image, in their order; half a gigabyte at most.
    """
    maps = [read_feature_map(model, files[0])]
    most = max(MOST_BYTES // (4 * maps[0].features.numel()), 2)
    files = files[:: -(-len(files) // most)]
    with progress.task("reading features", len(files)) as task:
        task.advance()
        for file in files[1:]:
            maps.append(read_feature_map(model, file))
            task.advance()
    return maps


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
    """Returns latents of the patches of images, `(n, latent_size)`, at most 80,000 of them.

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
