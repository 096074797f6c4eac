"""Any folder of images as a data set."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from paecli.data.dataset import ImageDataset, ImageSplit, make_dataset
from paecli.data.images.decoded import Recipe, decode_files
from paecli.data.images.listing import find_images
from paecli.data.images.lists import is_list, parts_of_list
from paecli.data.images.opening import has_colour, open_image, oriented_size
from paecli.data.split_folders import Part, find_parts
from paecli.data.splitting import SplitRule, hold_out
from paecli.system.errors import DataError, ImageError
from paecli.system.names import escape_name
from paecli.system.progress import Progress

TEST_FRACTION = 0.1  # of a folder without a test sub-folder
MAX_SIDE = 1024  # pixels; larger images need --image-size


def load_folder(
    folder: Path,
    *,
    image_size: int | None,
    channels: int | None,
    split_seed: int,
    split_by: SplitRule,
    leave_out: Path | None = None,
    whole: bool = False,
    progress: Progress,
) -> ImageDataset:
    """Loads a folder of images, or the files of a list.

    Sub-folders called `train`, `test`, `val` and the like are the splits, see `find_parts`;
    without test images about a tenth of the images is the test split. When all images of a split
    lie in sub-folders, those are the classes.

    Args:
        folder: with images at any depth, found as `list_images` does; or a list, see `read_list`.
        image_size: side of a square in pixels; by default the size that all images share.
        channels: 1 grey or 3 RGB; by default that of the first image.
        split_seed: chooses the test images.
        split_by: the rule by which they are drawn.
        leave_out: a folder that is about to be written to.
        whole: without a split of its own, all images are test images, and training images too.
        progress: told while decoding, and what was passed over and why.

    Raises:
        DataError: no images, sizes that differ, nothing that can be decoded.
    """
    if is_list(folder):
        parts = parts_of_list(folder)
    else:
        parts = find_parts(folder, find_images([folder], leave_out=leave_out, progress=progress))
    for note in parts.notes:
        progress.say(note)
    given = [part for part in (parts.train, parts.test, parts.validation) if part]
    recipe = _recipe(_first_image(parts.train.files), image_size, channels)
    classes = _all_classes(given)
    splits = [_load_split(part, classes, recipe, progress) for part in given]
    validation = splits.pop() if parts.validation else None
    if parts.test is None and whole:
        splits *= 2
    elif parts.test is None:
        splits = list(hold_out(splits[0], fraction=TEST_FRACTION, seed=split_seed, by=split_by))
    name = escape_name(folder.resolve().name)  # of a list too: `files.csv`
    return make_dataset(name, *splits, validation=validation, source=str(folder))


def _first_image(files: Sequence[Path]) -> Path:
    """Returns the first file that is an image, or the first if none is."""
    for file in files:
        with suppress(ImageError), open_image(file):
            return file
    return files[0]


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


def _all_classes(parts: Sequence[Part]) -> tuple[str, ...]:
    """Returns the names of the class sub-folders, or nothing when an image is in none."""
    if any(part.labels for part in parts):
        return tuple(sorted({escape_name(name) for part in parts for name in part.labels or ()}))
    if any(not file.is_relative_to(part.root) for part in parts for file in part.files):
        return ()  # of a list
    below = [file.relative_to(part.root).parts for part in parts for file in part.files]
    if any(len(path) < 2 for path in below):
        return ()
    return tuple(sorted({escape_name(path[0]) for path in below}))


def _load_split(
    part: Part, classes: tuple[str, ...], recipe: Recipe, progress: Progress
) -> ImageSplit:
    images, kept = decode_files(part.files, recipe, progress)
    return ImageSplit(images, _labels(part, classes, kept), classes)


def _labels(part: Part, classes: tuple[str, ...], kept: Tensor) -> Tensor | None:
    if not classes:
        return None
    number = {name: index for index, name in enumerate(classes)}
    names = part.labels or [file.relative_to(part.root).parts[0] for file in part.files]
    return torch.tensor([number[escape_name(names[index])] for index in kept.tolist()])
