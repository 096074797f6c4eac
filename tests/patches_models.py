"""A small model of patches of pixels, and pictures of a surface with and without a hole."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from paecli.model.flow import LatentFlow
from paecli.model.patches.autoencoder import PatchAutoencoder
from paecli.model.patches.model import PatchPAE, image_score
from paecli.model.patches.pixels import PixelFeatures

HOLE = (40, 24, 56, 40)  # left, top, right, bottom


def surface(number: int, *, hole: bool = False, size: tuple[int, int] = (80, 96)) -> Tensor:
    """Returns a brushed surface `(1, h, w)` uint8; every number gives another one."""
    generator = torch.Generator().manual_seed(number)
    stripes = torch.randn(1, 1, size[1], generator=generator)
    grain = torch.randn(1, *size, generator=generator)
    picture = 130 + 15 * stripes + 6 * grain
    if hole:
        left, top, right, bottom = HOLE
        picture[:, top:bottom, left:right] -= 90
    return picture.round().clamp(0, 255).to(torch.uint8)


def write_surfaces(folder: Path, numbers: range, *, hole: bool = False) -> None:
    """Writes surfaces as PNG files called by their numbers."""
    folder.mkdir(parents=True)
    for number in numbers:
        Image.fromarray(surface(number, hole=hole)[0].numpy()).save(folder / f"{number:03}.png")


def small_model(*, area: int = 96 * 96, latent_size: int = 6) -> PatchPAE:
    """A model fitted to 40 surfaces and measured on 40 others; its flow only whitens."""
    features = PixelFeatures()
    autoencoder = PatchAutoencoder(size=features.size, latent_size=latent_size)
    flow = LatentFlow(kind="glow", latent_size=latent_size, blocks=1, width=8)
    model = PatchPAE(features, autoencoder, flow, area=area).eval()
    patches = torch.cat([model.feature_map(surface(n)).flatten(1) for n in range(40)], dim=1)
    patches = patches.double()
    autoencoder.fit(patches.sum(1), patches @ patches.T, patches.shape[1])
    flow.fit_whitening(torch.cat([model.encode(surface(n)).flatten(0, 1) for n in range(40)]))
    measure(model, range(40, 80))
    return model


def measure(model: PatchPAE, numbers: range) -> None:
    """Measures the maps of surfaces, as training does with held-out images."""
    maps = [model.score_map(surface(n)) for n in numbers]
    cells = [model.compare(model.score_cells(surface(n))) for n in numbers]
    model.reference_scores = {
        "top": torch.tensor([image_score(each) for each in cells]).sort().values,
        "peak": torch.stack([scores.max() for scores in maps]).sort().values,
        "pixel": torch.cat([scores.flatten() for scores in maps]).sort().values,
    }
