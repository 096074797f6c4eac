"""Image files to try the commands on, from the bundled samples of Fashion-MNIST and MNIST."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from paecli.data.datasets import load_dataset
from paecli.data.images.files import write_image
from paecli.system.errors import WriteError

CLOTHES, DIGITS = 18, 2  # in the folder
HOLE = slice(9, 20)  # rows and columns of the damage
NOISE = 0.2


@dataclass(frozen=True)
class SampleFiles:
    """Where each of the files is.

    Attributes:
        image: an item of clothing that no shipped model was trained on.
        damaged: another one with a black hole.
        mask: where that hole is: white.
        noisy: a third one under Gaussian noise of standard deviation .2.
        folder: 18 items of clothing and 2 digits, which are unusual there.
    """

    image: Path
    damaged: Path
    mask: Path
    noisy: Path
    folder: Path


def write_samples(to: Path) -> SampleFiles:
    """Writes the files, all of 28x28 pixels.

    Args:
        to: a folder that does not exist yet, or is empty.

    Raises:
        WriteError: the folder holds something, or cannot be written.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise WriteError(f"{to} exists and is not empty; give a new folder for the samples")
    clothes = load_dataset("fmnist-mini").test.images
    digits = load_dataset("mnist-mini").test.images
    files = SampleFiles(
        image=to / "img.png",
        damaged=to / "damaged.png",
        mask=to / "mask.png",
        noisy=to / "noisy.png",
        folder=to / "incoming",
    )
    write_image(files.image, clothes[0])
    mask = torch.zeros_like(clothes[1])
    mask[:, HOLE, HOLE] = 255
    write_image(files.damaged, clothes[1].masked_fill(mask > 0, 0))
    write_image(files.mask, mask)
    write_image(files.noisy, _with_noise(clothes[2]))
    for index, image in enumerate([*clothes[3 : 3 + CLOTHES], *digits[:DIGITS]]):
        name = "clothing" if index < CLOTHES else "digit"
        write_image(files.folder / f"{index + 1:02}-{name}.png", image)
    return files


def _with_noise(image: Tensor) -> Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return (image / 255 + NOISE * noise).clamp(0, 1)
