"""Does the space between images hold images too?"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Interpolation:
    """How evenly images change along straight lines between images in base space.

    Attributes:
        largest_step: largest change between neighbours over the mean one, mean over
            lines; 1 is perfectly even, `steps` is a single jump.
        detour: length of the line in pixel space over the distance of its ends, mean
            over lines; 1 is a plain cross-fade.
        lines: how many lines were drawn.
        steps: steps of each.
    """

    largest_step: float
    detour: float
    lines: int
    steps: int


def interpolation(frames: Tensor) -> Interpolation:
    """Measures lines of images `(lines, steps + 1, c, h, w)` in [0, 1]."""
    images = frames.flatten(2)
    changes = (images[:, 1:] - images[:, :-1]).norm(dim=2)
    ends = (images[:, -1] - images[:, 0]).norm(dim=1)
    # a line between two equal images has no length: count it as even
    tiny = torch.finfo(images.dtype).tiny
    return Interpolation(
        largest_step=(changes.amax(1) / changes.mean(1).clamp_min(tiny)).mean().item(),
        detour=(changes.sum(1) / ends.clamp_min(tiny)).mean().item(),
        lines=len(frames),
        steps=changes.shape[1],
    )


def lines_between(start: Tensor, end: Tensor, *, steps: int) -> Tensor:
    """Returns points on straight lines: `(n, d)` twice to `(n, steps + 1, d)`."""
    weights = torch.linspace(0, 1, steps + 1).to(start)[None, :, None]
    return start[:, None] * (1 - weights) + end[:, None] * weights
