"""Reads the files of the named data sets; one function a kind."""

from collections.abc import Callable, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from paecli.data.dataset import ImageSplit
from paecli.data.images.decoded import Recipe, decode_files
from paecli.data.images.listing import images_below
from paecli.data.images.opening import open_image, oriented_size
from paecli.data.sets.idx import read_idx, read_npz
from paecli.data.sets.locations import find_file, has_files
from paecli.data.sets.named_sets import BUNDLED, NAMED_SETS, NamedSet
from paecli.system.errors import DataError, ImageError
from paecli.system.progress import Progress

Splits = tuple[ImageSplit, ImageSplit]

OMNIGLOT_SIZE = 28  # as MNIST, which it is compared with
TILES_PER_ROW = 100
TILE = 28  # pixels a side, in the sheets of bundled samples
CELEBA_SIZE = 64
CELEBA_ALIGNED = (218, 178)  # height and width
CELEBA_CROP = 140  # side of the face region, as in Tolstikhin et al., arXiv:1711.01558
CELEBA_FIRST_VALIDATION = 162_771  # image numbers, from the official partition
CELEBA_FIRST_TEST = 182_638


def read_named(named: NamedSet, place: Path, image_size: int | None, progress: Progress) -> Splits:
    """Reads the training and test images of a named set.

    Args:
        named: which set.
        place: the folder that holds its files.
        image_size: side in pixels, where files of other sizes are decoded.
        progress: told while decoding.

    Raises:
        DataError: a file is damaged, or of another set.
    """
    splits = READERS[named.kind](named, place, image_size, progress)
    found = tuple(map(len, splits))
    if found != named.counts:
        progress.say(
            f"{named.title} in {place} has {found[0]:,} training and {found[1]:,} test images; "
            f"whole it has {named.counts[0]:,} and {named.counts[1]:,}, so figures will not compare"
        )
    return splits


def _read_idx_set(
    named: NamedSet, place: Path, _image_size: int | None, _progress: Progress
) -> Splits:
    if has_files(place, named.files):
        read, names = read_idx, named.files
    else:
        read, names = read_npz, named.arrays
    images, labels, test_images, test_labels = (
        read(find_file(place, name) or place / name) for name in names
    )
    _refuse_other_set(named, place, test_labels)
    return (
        _idx_split(place, images, labels, named.classes),
        _idx_split(place, test_images, test_labels, named.classes),
    )


def _idx_split(place: Path, images: Tensor, labels: Tensor, classes: tuple[str, ...]) -> ImageSplit:
    known = labels.ndim == 1 and images.ndim == 3 and len(labels) == len(images) > 0
    if not known or int(labels.max()) >= len(classes):
        raise DataError(
            f"the images and labels in {place} do not belong together; download them again"
        )
    return ImageSplit(images.unsqueeze(1), labels.long(), classes)


def _refuse_other_set(named: NamedSet, place: Path, test_labels: Tensor) -> None:
    first = tuple(test_labels[:10].tolist()) if test_labels.ndim == 1 else ()
    for name, other in NAMED_SETS.items():
        if other.title != named.title and first and first == other.first_test_labels:
            raise DataError(
                f"the files in {place} are those of {name}, not of {named.title}; "
                f"put each set into its own folder, such as {named.folders[-1]}"
            )


def _read_cifar10(
    named: NamedSet, place: Path, _image_size: int | None, _progress: Progress
) -> Splits:
    from torchvision.datasets import CIFAR10  # slow to import

    class Here(CIFAR10):  # type: ignore[misc]
        base_folder = place.name

    try:
        # torchvision compares checksums before it unpickles anything
        parts = [Here(place.parent, train=train) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"the {named.title} files in {place} are damaged; download them again"
        ) from error
    train, test = (
        ImageSplit(
            torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(),
            torch.tensor(part.targets),
            tuple(part.classes),
        )
        for part in parts
    )
    return train, test


def _read_celeba(
    named: NamedSet, place: Path, image_size: int | None, progress: Progress
) -> Splits:
    files = images_below(place / named.files[0])
    train, test = _celeba_splits(place, files)
    if not train or not test:
        raise DataError(
            f"{place / named.files[0]} lacks the numbered images of the training or the test "
            "split; extract img_align_celeba.zip again"
        )
    _refuse_unaligned(train[0])
    side = image_size or CELEBA_SIZE
    recipe = Recipe(channels=3, size=(side, side), crop=CELEBA_CROP)
    return (
        ImageSplit(decode_files(train, recipe, progress)[0]),
        ImageSplit(decode_files(test, recipe, progress)[0]),
    )


def _celeba_splits(place: Path, files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Sorts images by the partition file that comes with them, else by its known numbers."""
    partition = next((file for file in _partition_files(place) if file.is_file()), None)
    if partition is None:
        numbered = [(int(file.stem), file) for file in files if file.stem.isdigit()]
        return (
            [file for number, file in numbered if number < CELEBA_FIRST_VALIDATION],
            [file for number, file in numbered if number >= CELEBA_FIRST_TEST],
        )
    part_of = _read_partition(partition)
    sorted_files = {part: [f for f in files if part_of.get(f.name) == part] for part in "02"}
    return sorted_files["0"], sorted_files["2"]


def _partition_files(place: Path) -> list[Path]:
    """Lists where the partition may lie: beside the images, or as CelebA is handed out."""
    folders = (place, place / "Eval", place.parent / "Eval")
    return [folder / f"list_eval_partition{end}" for folder in folders for end in (".txt", ".csv")]


def _read_partition(path: Path) -> dict[str, str]:
    """Reads lines of a file name and 0 (train), 1 (validation) or 2 (test).

    Raises:
        DataError: it cannot be read, or a line says something else.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeError) as error:
        raise DataError(f"cannot read {path}; download it again") from error
    part_of: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        cells = line.replace(",", " ").split()
        if not cells or (number == 1 and cells[-1] == "partition"):
            continue
        if len(cells) != 2 or cells[1] not in ("0", "1", "2"):
            raise DataError(
                f"line {number} of {path} is not an image and 0, 1 or 2; download it again"
            )
        part_of[cells[0]] = cells[1]
    return part_of


def _refuse_unaligned(file: Path) -> None:
    """Refuses other versions of CelebA, in which the crop would not show the face."""
    try:
        with open_image(file) as image:
            size = oriented_size(image)
    except ImageError:
        return  # left out and counted with the others that cannot be read
    if size != CELEBA_ALIGNED:
        raise DataError(
            f"{file} has {size[1]} x {size[0]} pixels, aligned images of CelebA "
            f"{CELEBA_ALIGNED[1]} x {CELEBA_ALIGNED[0]}; get img_align_celeba.zip, or train on it "
            "as a folder"
        )


def _read_omniglot(
    named: NamedSet, place: Path, image_size: int | None, progress: Progress
) -> Splits:
    side = image_size or OMNIGLOT_SIZE
    # drawn black on white; MNIST and its relatives are white on black
    recipe = Recipe(channels=1, size=(side, side), invert=True)
    roots = [place / name for name in named.files]
    listings = [images_below(root) for root in roots]
    if not all(listings):
        raise DataError(f"{place} lacks Omniglot's images; extract its two zip files again")
    names = [
        [file.parent.relative_to(root).as_posix() for file in files]
        for root, files in zip(roots, listings, strict=True)
    ]
    classes = tuple(sorted(set(names[0]) | set(names[1])))
    train, test = (
        _omniglot_split(files, characters, classes, recipe, progress)
        for files, characters in zip(listings, names, strict=True)
    )
    return train, test


def _omniglot_split(
    files: Sequence[Path],
    characters: Sequence[str],
    classes: tuple[str, ...],
    recipe: Recipe,
    progress: Progress,
) -> ImageSplit:
    images, kept = decode_files(files, recipe, progress)
    number = {character: index for index, character in enumerate(classes)}
    labels = torch.tensor([number[characters[index]] for index in kept.tolist()])
    return ImageSplit(images, labels, classes)


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


READERS: dict[str, Callable[[NamedSet, Path, int | None, Progress], Splits]] = {
    "idx": _read_idx_set,
    "cifar10": _read_cifar10,
    "celeba": _read_celeba,
    "omniglot": _read_omniglot,
}
