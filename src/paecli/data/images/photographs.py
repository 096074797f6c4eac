"""Folders of photographs, each kept at its own size and aspect ratio."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from torch import Tensor

from paecli.data.images.listing import find_images
from paecli.data.images.lists import is_list, parts_of_list
from paecli.data.images.opening import ImageSource, has_colour, open_image
from paecli.data.images.pixels import decode
from paecli.data.split_folders import find_parts
from paecli.system.errors import DataError
from paecli.system.limits import spread
from paecli.system.progress import NullProgress, Progress


@dataclass(frozen=True)
class Photographs:
    """Image files to learn from.

    Attributes:
        name: of the folder.
        files: files to train on.
        held_out: files of a folder of validation images, that nothing is fitted to; often none.
        content_hash: SHA-256 of the files' bytes, in their order.
    """

    name: str
    files: tuple[Path, ...]
    held_out: tuple[Path, ...]
    content_hash: str


def list_photographs(
    folder: Path,
    *,
    limit: int | None = None,
    progress: Progress = NullProgress(),
) -> Photographs:
    """Lists the training images of a folder, see `find_parts`, or of a list of files.

    A folder of validation images beside those for training and testing is what is held out.

    Args:
        folder: with images at any depth.
        limit: train on so many at most.
        progress: told what was taken for what, and what was passed over.

    Raises:
        DataError: no such folder, or fewer than two images in it.
    """
    if is_list(folder):
        parts = parts_of_list(folder)
    elif folder.is_dir():
        parts = find_parts(folder, find_images([folder], progress=progress))
    else:
        raise DataError(f"{folder} is not a folder of images; features of photographs need one")
    for note in parts.notes:
        progress.say(note)
    files = parts.train.files
    if len(files) < 2:
        count = "1 image" if files else "no images"
        raise DataError(f"{parts.train.root} holds {count}; give at least 2, better 100")
    apart = parts.validation is not None and parts.test is not None
    held_out = parts.validation.files if apart and parts.validation is not None else ()
    return Photographs(
        name=folder.resolve().name,
        files=tuple(files[number] for number in spread(len(files), limit)),
        held_out=held_out,
        content_hash=_hash_files((*files, *held_out)),
    )


def neighbouring_folds(count: int, folds: int) -> list[range]:
    """Cuts `count` files in a row into `folds` parts of neighbours, one file at least in each.

    Photographs that follow each other often show the same thing. Single ones held out among
    them would look more ordinary than images to come, whose p-values would be too small.
    """
    folds = max(min(folds, count), 1)
    ends = [round(number * count / folds) for number in range(folds + 1)]
    return [range(start, end) for start, end in pairwise(ends)]


def read_photograph(path: ImageSource) -> Tensor:
    """Reads an image at its own size: `(1 or 3, h, w)` float32 in [0, 1].

    Raises:
        ImageError: missing, unreadable, damaged, too large, or values out of range.
    """
    with open_image(path) as image:
        return decode(image, path, channels=3 if has_colour(image) else 1).contiguous()


def _hash_files(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
