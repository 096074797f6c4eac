"""Folders of photographs, each kept at its own size and aspect ratio."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from paecli.data.images.listing import find_images
from paecli.data.images.opening import ImageSource, has_colour, open_image
from paecli.data.images.pixels import decode
from paecli.data.split_folders import find_parts
from paecli.system.errors import DataError
from paecli.system.progress import NullProgress, Progress

BLOCK = 10  # neighbours that are held out together
LEAST_BLOCKS = 5  # that are held out, so that one odd series is not all of it


@dataclass(frozen=True)
class Photographs:
    """Image files to learn from.

    Attributes:
        name: of the folder.
        kept: files to train on.
        held_out: files that tell what is in-distribution, and that nothing is fitted to.
        content_hash: SHA-256 of the files' bytes, in their order.
    """

    name: str
    kept: tuple[Path, ...]
    held_out: tuple[Path, ...]
    content_hash: str


def list_photographs(
    folder: Path,
    *,
    held_out: float,
    seed: int,
    limit: int | None = None,
    progress: Progress = NullProgress(),
) -> Photographs:
    """Lists the training images of a folder, see `find_parts`, and holds some out.

    A folder of validation images beside those for training and testing is what is held out.

    Args:
        folder: with images at any depth.
        held_out: fraction to hold out.
        seed: chooses them.
        limit: train on so many at most.
        progress: told what was taken for what, and what was passed over.

    Raises:
        DataError: no such folder, or fewer than two images in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of images; features of photographs need one")
    parts = find_parts(folder, find_images([folder], progress=progress))
    for note in parts.notes:
        progress.say(note)
    files = parts.train.files
    if parts.validation is not None and parts.test is not None:
        return Photographs(
            name=folder.resolve().name,
            kept=files[:limit],
            held_out=parts.validation.files,
            content_hash=_hash_files((*files, *parts.validation.files)),
        )
    if len(files) < 2:
        raise DataError(
            f"{parts.train.root} holds {len(files)} image(s); give at least 2, better 100"
        )
    aside = _blocks_aside(len(files), held_out, seed)
    kept = [file for index, file in enumerate(files) if index not in aside]
    return Photographs(
        name=folder.resolve().name,
        kept=tuple(kept[:limit]),
        held_out=tuple(files[index] for index in sorted(aside)),
        content_hash=_hash_files(files),
    )


def _blocks_aside(count: int, fraction: float, seed: int) -> set[int]:
    """Chooses which of `count` files in a row to hold out, in blocks of up to 10 neighbours.

    Photographs that follow each other often show the same thing. Single ones held out among
    them would look more usual than images to come, whose p-values would be too small.
    """
    wanted = min(max(round(fraction * count), 1), count - 1)
    length = min(BLOCK, max(wanted // LEAST_BLOCKS, 1))
    starts = range(0, count, length)
    order = torch.randperm(len(starts), generator=torch.Generator().manual_seed(seed)).tolist()
    blocks = [range(starts[index], min(starts[index] + length, count)) for index in order]
    return set([file for block in blocks for file in block][:wanted])


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
