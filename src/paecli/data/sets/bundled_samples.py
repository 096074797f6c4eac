"""The samples of Fashion-MNIST and MNIST inside the package; see bundled/README.md."""

from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np
import torch
from PIL import Image

from paecli.data.dataset import ImageSplit
from paecli.data.sets.named_sets import BUNDLED, NAMED_SETS

TILES_PER_ROW = 100
TILE = 28  # pixels a side


def load_bundled(name: str) -> tuple[ImageSplit, ImageSplit]:
    """Loads the training and test images of a sample that ships with the package.

    Args:
        name: a key of `BUNDLED`.
    """
    classes = NAMED_SETS[BUNDLED[name].original].classes
    train, test = (_read_sheet(sheet_path(name, part), classes) for part in ("train", "test"))
    return train, test


def sheet_path(name: str, part: str) -> Traversable:
    """Returns where the sheet of a sample's `train` or `test` images is."""
    return resources.files("paecli.data") / "bundled" / f"{name}-{part}.png"


def _read_sheet(path: Traversable, classes: tuple[str, ...]) -> ImageSplit:
    with path.open("rb") as file, Image.open(file) as sheet:
        pixels = torch.from_numpy(np.array(sheet))
    tiles = pixels.reshape(-1, TILE, TILES_PER_ROW, TILE).permute(0, 2, 1, 3)
    images = tiles.reshape(-1, 1, TILE, TILE).contiguous()
    # tile k is of class k mod 10, so any first part is balanced too
    return ImageSplit(images, torch.arange(len(images)) % len(classes), classes)
