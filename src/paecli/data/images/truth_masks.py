"""True masks of defects: a folder of pictures, white where an image is defective."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from paecli.data.images.listing import images_below
from paecli.data.images.opening import open_image
from paecli.data.images.painted import HALF, level_of_white
from paecli.data.images.partners import as_read
from paecli.data.images.pixels import decode_layers, set_channels
from paecli.system.errors import DataError, ImageError
from paecli.system.progress import NullProgress, Progress

ENDINGS = ("", "_mask", "_gt", "-mask")  # of a mask's name after that of its image


def match_masks(images: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Finds the mask of each image that has one.

    A mask is called like its image, whatever the suffix, perhaps with `_mask` after it. Images
    and masks in sub-folders match by as many of these as both have: `test/hole/1.jpg` goes with
    `masks/hole/1.png`, or with `masks/1.png` when there is no other `1`.

    Args:
        images: image files.
        folder: of masks, at any depth.

    Raises:
        DataError: no such folder, not a single match, or an image with two masks.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of masks; give one, white where defective")
    masks: dict[str, list[Path]] = {}
    for mask in images_below(folder):
        masks.setdefault(as_read(mask.stem), []).append(mask)
    found = {}
    for image in images:
        candidates = [
            mask for ending in ENDINGS for mask in masks.get(as_read(image.stem) + ending, [])
        ]
        best = _nearest(image, candidates, folder)
        if best is not None:
            found[image] = best
    if not found:
        raise DataError(f"no mask in {folder} is called like any of the images; name them alike")
    return found


def _nearest(image: Path, candidates: Sequence[Path], folder: Path) -> Path | None:
    """Picks the candidate whose sub-folders are those of the image, if they do not differ."""
    fitting = []
    for mask in candidates:
        inner = mask.relative_to(folder).parent.parts
        if not inner or image.absolute().parent.parts[-len(inner) :] == inner:
            fitting.append((len(inner), mask))
    if not fitting:
        return None
    most = max(depth for depth, _ in fitting)
    best = [mask for depth, mask in fitting if depth == most]
    if len(best) > 1:
        raise DataError(f"{image} has two masks, {best[0]} and {best[1]}; keep one")
    return best[0]


def unmatched(masks: Mapping[Path, Path], folder: Path) -> list[Path]:
    """Returns the masks of a folder that belong to none of the images they were matched with."""
    return sorted(set(images_below(folder)) - set(masks.values()))


def read_truth(
    path: Path | None, *, size: tuple[int, int], progress: Progress = NullProgress()
) -> Tensor:
    """Reads a mask of an image of `size` `(h, w)`: `(h, w)` bool; without a mask all is good.

    White is defective, see `level_of_white`; what is transparent is not painted, so good.

    Args:
        path: of the mask, or None.
        size: of the image.
        progress: told what a doubtful mask was taken for.

    Raises:
        ImageError: it cannot be read, or has another size than the image.
    """
    if path is None:
        return torch.zeros(size, dtype=torch.bool)
    with open_image(path) as opened:
        colours, opacity = decode_layers(opened, path)
    bright = set_channels(colours, 1)[0]
    if tuple(bright.shape) != size:
        raise ImageError(
            f"the mask {path} has {bright.shape[1]}x{bright.shape[0]} pixels, its image "
            f"{size[1]}x{size[0]}; save it at the image's size"
        )
    painted = torch.ones_like(bright, dtype=torch.bool) if opacity is None else opacity[0] >= HALF
    level, notes = level_of_white(path, bright[painted])
    for note in notes:
        progress.say(note)
    return (bright >= level) & painted
