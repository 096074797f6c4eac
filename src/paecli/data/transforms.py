"""Simple changes of a whole set of images, to test outlier detection against."""

from collections.abc import Callable

import torch
from torch import Tensor

from paecli.system.errors import UsageError


def _hflip(images: Tensor, _generator: torch.Generator) -> Tensor:
    return images.flip(-1)


def _vflip(images: Tensor, _generator: torch.Generator) -> Tensor:
    return images.flip(-2)


def _invert(images: Tensor, _generator: torch.Generator) -> Tensor:
    return 255 - images


def _noise(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 256, images.shape, dtype=torch.uint8, generator=generator)


def _constant(images: Tensor, generator: torch.Generator) -> Tensor:
    value = torch.randint(0, 256, (len(images), 1, 1, 1), dtype=torch.uint8, generator=generator)
    return value.expand(images.shape).clone()


TRANSFORMS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "hflip": _hflip,  # mirrored left to right
    "vflip": _vflip,  # upside down
    "invert": _invert,  # negative
    "noise": _noise,  # uniform random pixels in the place of each image
    "constant": _constant,  # one random grey in the place of each image
}


def transform_images(name: str, images: Tensor, seed: int) -> Tensor:
    """Changes every image in the same way.

    Args:
        name: a key of `TRANSFORMS`.
        images: `(n, c, h, w)` uint8.
        seed: of `noise` and `constant`.

    Returns:
        As many images of the same shape, uint8.

    Raises:
        UsageError: no such transform.
    """
    if name not in TRANSFORMS:
        raise UsageError(f"no transform {name!r}; there are: {', '.join(TRANSFORMS)}")
    return TRANSFORMS[name](images, torch.Generator().manual_seed(seed))
