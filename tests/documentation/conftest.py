"""A folder as the documents take it for granted: data sets, trained runs and images."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.data.sets.idx_files import idx_bytes
from torch import Tensor

from paecli.data import load_dataset, write_image

from .running import run_pae

TRAIN, TEST = 240, 60  # images of each data set
FILES = ("img", "photo", "part", "shoe", "clean", "shirt", "boot", "a", "b")
FOLDERS = {  # and how many images
    "incoming": 8, "photos": 2, "clean": 2, "other-photos": 20, "holiday-photos": 320,
    "generated": 21, "real": 21,
}  # fmt: skip
TILE, TILES = 64, 120  # pixels a side, images


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What each block gets a copy of."""
    folder = tmp_path_factory.mktemp("prepared")
    clothes = _write_set(folder / "data" / "fashion-mnist", "fmnist-mini")
    _write_set(folder / "data" / "mnist", "mnist-mini")
    _write_images(folder, clothes)
    _write_tiles(folder / "tiles")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PAE_DATA", str(folder / "data"))
        patch.setenv("PAE_CACHE", str(folder / "cache"))
        run_pae(["train-ae", "fmnist", "--network", "mlp", "--latent-size", "4"])
        run_pae(["train-flow", "runs/fmnist"])
    shutil.copytree(folder / "runs" / "fmnist", folder / "runs" / "photos")
    return folder


def _write_set(folder: Path, bundled: str) -> Tensor:
    """Writes a small data set as its makers do; returns its test images."""
    folder.mkdir(parents=True)
    dataset = load_dataset(bundled)
    for name, split, count in (("train", dataset.train, TRAIN), ("t10k", dataset.test, TEST)):
        images, labels = split.images[:count, 0].numpy(), split.labels[:count].numpy()
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx_bytes(labels.astype(np.uint8)))
    return dataset.test.images[TEST:]


def _write_images(folder: Path, clothes: Tensor) -> None:
    for number, name in enumerate(FILES):
        write_image(folder / f"{name}.png", clothes[number])
    scratch = torch.zeros(1, 28, 28)
    scratch[:, 10:13] = 1
    for name in ("scratches", "shirt-mask"):
        write_image(folder / f"{name}.png", scratch)
    for name in range(FOLDERS["photos"]):
        write_image(folder / "masks" / f"{name}.png", scratch)
    write_image(folder / "small.png", clothes[0, :, ::2, ::2])
    images = iter(clothes[20:])
    for name, count in FOLDERS.items():
        for number in range(count):
            write_image(folder / name / f"{number}.png", next(images))


def _write_tiles(folder: Path) -> None:
    """Writes images of one texture."""
    wave = torch.arange(TILE) / 4
    texture = 0.5 + 0.2 * torch.sin(wave) * torch.cos(wave)[:, None]
    generator = torch.Generator().manual_seed(0)
    for number in range(TILES):
        noise = 0.05 * torch.randn(3, TILE, TILE, generator=generator)
        write_image(folder / f"{number:02}.png", (texture + noise).clamp(0, 1))
