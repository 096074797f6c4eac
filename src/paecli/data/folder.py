"""Any folder of images as a data set."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from paecli.data.dataset import ImageDataset, ImageSplit, hold_out, make_dataset
from paecli.data.image_paths import images_below
from paecli.data.images.decoded import Recipe, decode_files
from paecli.data.opening import has_colour, open_image, oriented_size
from paecli.system.errors import DataError
from paecli.system.progress import Progress

TEST_FRACTION = 0.1  # of a folder without a test sub-folder
MAX_SIDE = 1024  # pixels; larger images need --image-size


def load_folder(
    folder: Path,
    *,
    image_size: int | None,
    channels: int | None,
    split_seed: int,
    progress: Progress,
) -> ImageDataset:
    """Loads a folder of images.

    Sub-folders `train` and `test` are the two splits; without them a tenth of the images, drawn
    by `split_seed`, is the test split. When all images of a split lie in sub-folders, those are
    the classes.

    Args:
        folder: with images at any depth.
        image_size: side of a square in pixels; by default the size that all images share.
        channels: 1 grey or 3 RGB; by default that of the first image.
        split_seed: chooses the test images.
        progress: told while decoding.

    Raises:
        DataError: no images, sizes that differ, nothing that can be decoded.
    """
    roots = [folder / "train", folder / "test"]
    if not all(root.is_dir() for root in roots):
        roots = [folder]
    listings = [_list_images(root) for root in roots]
    recipe = _recipe(listings[0][0], image_size, channels)
    classes = _all_classes(roots, listings)
    splits = [
        _load_split(root, files, classes, recipe, progress)
        for root, files in zip(roots, listings, strict=True)
    ]
    if len(splits) == 1:
        splits = list(hold_out(splits[0], fraction=TEST_FRACTION, seed=split_seed))
    return make_dataset(folder.resolve().name, *splits, source=str(folder))


def _list_images(root: Path) -> list[Path]:
    files = images_below(root)
    if not files:
        raise DataError(f"{root} holds no images; it needs PNG, JPEG, TIFF, WebP or BMP files")
    return files


def _recipe(first: Path, image_size: int | None, channels: int | None) -> Recipe:
    with open_image(first) as image:
        size, colour = oriented_size(image), has_colour(image)
    if image_size is None and max(size) > MAX_SIDE:
        raise DataError(
            f"{first} has {size[1]}x{size[0]} pixels; choose the size to work at with --image-size"
        )
    return Recipe(
        channels=channels or (3 if colour else 1),
        size=(image_size, image_size) if image_size else size,
        same_size=image_size is None,
        same_colour=channels is None,
    )


def _all_classes(roots: Sequence[Path], listings: Sequence[Sequence[Path]]) -> tuple[str, ...]:
    """Returns the names of the class sub-folders, or nothing when an image is in none."""
    parts = [
        file.relative_to(root).parts
        for root, files in zip(roots, listings, strict=True)
        for file in files
    ]
    if any(len(part) < 2 for part in parts):
        return ()
    return tuple(sorted({part[0] for part in parts}))


def _load_split(
    root: Path,
    files: Sequence[Path],
    classes: tuple[str, ...],
    recipe: Recipe,
    progress: Progress,
) -> ImageSplit:
    images, kept = decode_files(files, recipe, progress)
    return ImageSplit(images, _labels(root, files, classes, kept), classes)


def _labels(
    root: Path, files: Sequence[Path], classes: tuple[str, ...], kept: Tensor
) -> Tensor | None:
    if not classes:
        return None
    number = {name: index for index, name in enumerate(classes)}
    return torch.tensor(
        [number[files[index].relative_to(root).parts[0]] for index in kept.tolist()]
    )
