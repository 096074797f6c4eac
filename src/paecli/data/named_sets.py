"""The data sets that are known by name."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class NamedSet:
    """What is known of a public data set.

    Attributes:
        title: its name for people, and of its class in torchvision.
        kind: how its files are read.
        folders: sub-folders that may hold its files, below the folders that are searched.
        files: what must be in one of them, without `.gz`.
        classes: the names of its classes; empty when they come with the files.
    """

    title: str
    kind: Literal["idx", "cifar10", "celeba", "omniglot"]
    folders: tuple[str, ...]
    files: tuple[str, ...]
    classes: tuple[str, ...] = ()


IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

NAMED_SETS = {
    "fmnist": NamedSet(
        title="FashionMNIST",
        kind="idx",
        folders=("FashionMNIST/raw", "fashion-mnist", "fashion_mnist", "fmnist"),
        files=IDX_FILES,
        classes=(
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
            "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
        ),
    ),
    "mnist": NamedSet(
        title="MNIST",
        kind="idx",
        folders=("MNIST/raw", "mnist"),
        files=IDX_FILES,
        classes=tuple("0123456789"),
    ),
    "kmnist": NamedSet(
        title="KMNIST",
        kind="idx",
        folders=("KMNIST/raw", "kmnist"),
        files=IDX_FILES,
        classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
}  # fmt: skip
