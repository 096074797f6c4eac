"""Which pixels of an image are missing: shapes in the user's coordinates, and mask files."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from paecli.data.images.files import ImageFile
from paecli.data.images.opening import (
    ImageSource,
    holds_several,
    open_image,
    oriented_size,
    several_note,
)
from paecli.data.images.painted import HALF, level_of_white, share_of_greys
from paecli.data.images.pixels import decode_layers, reduction, resize, set_channels
from paecli.restoration.masks.drawing import draw_mask
from paecli.system.errors import ImageError

NOTHING = "none"  # mask of `pae denoise`
MOST = 0.95  # a file that hides more than this share is likely the wrong way round
FEW_GREYS = 0.05  # share of a mask's pixels
ALIKE = 10 / 255  # by which a copy of an image may differ from it
ALIKE_SHARE = 0.95
RESIDUE = 1e-6  # rounding of the resizing filter


@dataclass(frozen=True, eq=False)
class Mask:
    """What is observed of an image.

    Attributes:
        observed: boolean `(h, w)`, of the model's size; True where observed.
        notes: sentences on how it was read, for the user.
    """

    observed: Tensor
    notes: tuple[str, ...] = ()


def read_mask(spec: str, image: ImageFile, *, invert: bool = False, seed: int = 0) -> Mask:
    """Reads or builds the mask of an image.

    Of a file, white is missing: what is at least half bright, judged before resizing. Transparent
    means not painted, so not missing; but where the file is the image itself with holes in it,
    the holes are missing. Of a file with two values only, the brighter one is white.

    Args:
        spec: `none`, a shape of `masks.shapes`, or a file. The corners of a box are
            those of the user's image; the other shapes cover what the model sees.
        image: the image it belongs to.
        invert: in a file white is observed instead.
        seed: of a random mask.

    Raises:
        ImageError: a file that cannot be read or has another size than the image.
        UsageError: no such shape, or a box that does not fit the image.
    """
    height, width = image.pixels.shape[1:]
    if spec == NOTHING:
        return Mask(torch.ones(height, width, dtype=torch.bool))
    path = Path(spec)
    if path.is_file():  # a folder may well be called `left`
        return read_mask_file(path, image, invert=invert)
    own = spec.startswith("box:")
    rows, columns = image.original_size if own else (height, width)
    drawn = draw_mask(spec, height=rows, width=columns, seed=seed)
    observed = cover(drawn, (height, width))
    return Mask(observed, tuple(_extreme(observed, drawn, most=1.0)))


def cover(observed: Tensor, size: tuple[int, int]) -> Tensor:
    """Brings a mask to another size as images are; what has any missing part is missing.

    Args:
        observed: boolean `(h, w)`, True where observed.
        size: wanted `(height, width)`.

    Returns:
        Boolean `(height, width)`: no observed pixel has anything of a missing one in it.
    """
    if tuple(observed.shape) == size:
        return observed
    part = (~observed).float()[None, None]
    factor = reduction((observed.shape[0], observed.shape[1]), size)
    if factor > 1:
        part = functional.max_pool2d(part, factor, ceil_mode=True)
    return resize(part, size)[0, 0] <= RESIDUE


def read_mask_file(path: ImageSource, image: ImageFile, *, invert: bool = False) -> Mask:
    """Reads a mask from a file, or from bytes in memory; see `read_mask`."""
    size = (image.pixels.shape[1], image.pixels.shape[2])
    with open_image(path) as opened:
        own = oriented_size(opened)
        if own not in (image.original_size, size):
            raise ImageError(
                f"the mask {path} is {own[1]} x {own[0]} pixels, {image.path} is "
                f"{image.original_size[1]} x {image.original_size[0]}; give a mask of that size"
            )
        several = [several_note([path])] if holds_several(opened) else []
        colours, opacity = decode_layers(opened, path)
    painted = torch.ones(own, dtype=torch.bool) if opacity is None else opacity[0] >= HALF
    bright = set_channels(colours, 1)[0]
    if opacity is not None and _is_the_image(path, image, colours, bright, painted):
        drawn = ~painted if invert else painted
        notes = [f"{path} is the image itself: what is transparent in it is missing"]
    else:
        level, notes = level_of_white(path, bright[painted])
        white = bright >= level
        drawn = (white if invert else ~white) | ~painted
        if opacity is not None and not painted.all():
            notes.append(f"what is transparent in the mask {path} is not painted: not missing")
    observed = cover(drawn, size)
    return Mask(observed, (*several, *notes, *_extreme(observed, drawn, most=MOST)))


def _is_the_image(
    path: ImageSource, image: ImageFile, colours: Tensor, bright: Tensor, painted: Tensor
) -> bool:
    """Tells whether a file with transparency is the image itself, or a copy, with holes."""
    if painted.all():
        return False
    if isinstance(path, Path) and path.samefile(image.path):
        return True
    if not painted.any() or share_of_greys(bright[painted]) < FEW_GREYS:
        return False
    channels, *size = image.pixels.shape
    copy = resize(set_channels(colours, channels), (size[0], size[1]))
    opaque = cover(painted, (size[0], size[1]))
    differs = (copy - image.pixels).abs().amax(0)[opaque]
    return bool(differs.numel()) and (differs < ALIKE).float().mean().item() > ALIKE_SHARE


def _extreme(observed: Tensor, drawn: Tensor, *, most: float) -> list[str]:
    """Says so when all, next to all or nothing is missing."""
    share = (~observed).float().mean().item()
    if share == 1:
        return ["everything is missing: the answer is what the model makes up by itself"]
    if share > most:
        return [f"{share:.1%} of the pixels are missing; --invert-mask takes white for observed"]
    if share > 0:
        return []
    if not drawn.all():
        return ["nothing is missing: the mask lies outside the central part that is restored"]
    return ["nothing is missing: white is missing in a mask, --invert-mask takes black instead"]
