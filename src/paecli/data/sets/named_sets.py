"""What is known by name: data sets, where their files may be, samples of them, changes of them."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class NamedSet:
    """What is known of a public data set.

    Attributes:
        title: the name of its class in torchvision.
        kind: how its files are read.
        folders: sub-folders that may hold its files, below the folders that are searched; the
            last is the one to tell people.
        files: files or folders that must all be in one of them; IDX files may end in `.gz`.
        arrays: the same as NumPy's archives, in the same order, in whose place they may stand.
        archives: what its files are handed out in; people may put these there instead.
        unpack_to: folder below the cache that the archives are unpacked into.
        classes: the names of its classes; empty when they come with the files.
        counts: training and test images it has.
        first_test_labels: tells apart the relatives of MNIST, whose files have the same names.
    """

    title: str
    kind: Literal["idx", "cifar10", "celeba", "omniglot"]
    folders: tuple[str, ...]
    files: tuple[str, ...]
    arrays: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    unpack_to: str = ""
    classes: tuple[str, ...] = ()
    counts: tuple[int, int] = (60_000, 10_000)
    first_test_labels: tuple[int, ...] = ()


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
        first_test_labels=(9, 2, 1, 1, 6, 1, 4, 6, 5, 7),
    ),
    "mnist": NamedSet(
        title="MNIST",
        kind="idx",
        folders=("MNIST/raw", "mnist"),
        files=IDX_FILES,
        classes=tuple("0123456789"),
        first_test_labels=(7, 2, 1, 0, 4, 1, 4, 9, 5, 9),
    ),
    "kmnist": NamedSet(
        title="KMNIST",
        kind="idx",
        folders=("KMNIST/raw", "kmnist"),
        files=IDX_FILES,
        arrays=tuple(
            f"kmnist-{part}-{what}.npz" for part in ("train", "test") for what in ("imgs", "labels")
        ),
        classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
    "cifar10": NamedSet(
        title="CIFAR10",
        kind="cifar10",
        folders=("cifar-10-batches-py", "cifar10/cifar-10-batches-py", "cifar10"),
        files=(*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"),
        archives=("cifar-10-python.tar.gz",),
        counts=(50_000, 10_000),
    ),
    "celeba": NamedSet(
        title="CelebA",
        kind="celeba",
        folders=("CelebA/Img", "CelebA", "celeba"),  # the first as it is handed out
        files=("img_align_celeba",),
        archives=("img_align_celeba.zip",),
        unpack_to="celeba",
        counts=(162_770, 19_962),
    ),
    "omniglot": NamedSet(
        title="Omniglot",
        kind="omniglot",
        folders=("omniglot-py", "omniglot/python", "omniglot"),
        files=("images_background", "images_evaluation"),
        archives=("images_background.zip", "images_evaluation.zip"),
        unpack_to="omniglot",
        counts=(19_280, 13_180),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Bundle:
    """A sample: which set it was drawn from, and how many images of it."""

    original: str
    train_count: int
    test_count: int


BUNDLED = {
    "fmnist-mini": Bundle("fmnist", train_count=6000, test_count=1000),
    "mnist-mini": Bundle("mnist", train_count=3000, test_count=500),
}

# what `paecli.data.transforms` makes of a set, to test outlier detection against
TRANSFORM_NAMES = ("hflip", "vflip", "invert", "noise", "constant")
