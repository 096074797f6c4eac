"""Random changes of training images, as tensor operations on whole batches."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from paecli.system.errors import ConfigError

PARTS = 8  # a batch is shifted in so many groups: varied enough, and each group is one slice


def require_shift(shift: int, image_shape: tuple[int, int, int]) -> None:
    """Refuses to move images so far that nothing of them is left.

    Raises:
        ConfigError: `shift` is larger than the smaller side of images `(c, h, w)`.
    """
    side = min(image_shape[1:])
    if shift > side:
        raise ConfigError(
            f"--augment: shift is {shift:,} pixels, the images have {side} a side; give less"
        )


def augment(
    x: Tensor,
    *,
    generator: torch.Generator,
    shift: int = 0,
    shift_probability: float = 0.5,
    horizontal_flip: float = 0.0,
    rotation: float = 0.0,
    brightness: float = 0.0,
) -> Tensor:
    """Changes images at random.

    Args:
        x: `(b, c, h, w)` in [0, 1].
        generator: source of randomness, on the CPU.
        shift: largest translation in pixels, each way; what moves in is black.
        shift_probability: chance that a group of images is translated.
        horizontal_flip: chance that an image is mirrored left to right.
        rotation: largest angle in degrees, each way (bilinear, black outside).
        brightness: largest relative change of all pixels, clipped to [0, 1].

    Returns:
        Images of the same shape and range.
    """
    if shift:
        x = _shift(x, shift, shift_probability, generator)
    if horizontal_flip:
        flipped = torch.rand(len(x), 1, 1, 1, generator=generator) < horizontal_flip
        x = torch.where(flipped.to(x.device), x.flip(-1), x)
    if rotation:
        x = _rotate(x, rotation, generator)
    if brightness:
        factor = 1 + brightness * (2 * torch.rand(len(x), 1, 1, 1, generator=generator) - 1)
        x = (x * factor.to(x)).clamp(0, 1)
    return x


def _shift(x: Tensor, shift: int, probability: float, generator: torch.Generator) -> Tensor:
    height, width = x.shape[-2:]
    padded = F.pad(x, (shift, shift, shift, shift))
    parts = []
    for part, group in zip(padded.chunk(PARTS), x.chunk(PARTS), strict=True):
        down, right = torch.randint(2 * shift + 1, (2,), generator=generator).tolist()
        moves = torch.rand((), generator=generator).item() < probability
        moved = part[..., down : down + height, right : right + width]
        parts.append(moved if moves else group)
    return torch.cat(parts)


def _rotate(x: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    angle = math.radians(degrees) * (2 * torch.rand(len(x), generator=generator) - 1)
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = [torch.stack((cosine, -sine, zero), 1), torch.stack((sine, cosine, zero), 1)]
    grid = F.affine_grid(torch.stack(rows, 1).to(x), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False).clamp(0, 1)
