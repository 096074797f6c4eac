"""True masks of defects: a folder of pictures, white where an image is defective."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from paecli.data.images.listing import images_below
from paecli.data.images.opening import open_image
from paecli.data.images.pixels import decode
from paecli.system.errors import DataError, ImageError

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
        masks.setdefault(mask.stem, []).append(mask)
    found = {}
    for image in images:
        candidates = [mask for ending in ENDINGS for mask in masks.get(image.stem + ending, [])]
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


def read_truth(path: Path | None, *, size: tuple[int, int]) -> Tensor:
    """Reads a mask of an image of `size` `(h, w)`: `(h, w)` bool; without a mask all is good.

    Raises:
        ImageError: it cannot be read, or has another size than the image.
    """
    if path is None:
        return torch.zeros(size, dtype=torch.bool)
    with open_image(path) as opened:
        mask = decode(opened, path, channels=1)[0] > 0.5
    if tuple(mask.shape) != size:
        raise ImageError(
            f"the mask {path} has {mask.shape[1]}x{mask.shape[0]} pixels, its image "
            f"{size[1]}x{size[0]}; save it at the image's size"
        )
    return mask
