"""Paths between two vectors of a standard normal base space."""

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST_SINE = 1e-4  # of the angle; below it the vectors span no plane


def spherical_path(start: Tensor, end: Tensor, *, steps: int) -> Tensor:
    """Goes from one vector to another at constant angular speed; the length changes linearly.

    Draws from N(0, I) in n dimensions lie near a sphere of radius sqrt(n). A straight line
    between two of them cuts through its inside, where almost no draw lies (its middle has
    length sqrt(n / 2) in the mean), and so through images that are too average. This path
    stays as far out as its ends are.

    Args:
        start: `(n,)`.
        end: `(n,)`.
        steps: points of the path, both ends included.

    Returns:
        `(steps, n)`. Where both vectors point the same or the opposite way: the straight line.

    Source: Shoemake 1985, "Animating rotation with quaternion curves" (slerp).
    """
    fraction = torch.linspace(0, 1, steps, dtype=start.dtype, device=start.device)[:, None]
    angle = F.cosine_similarity(start, end, dim=0).clamp(-1, 1).acos()
    if angle.sin() < SMALLEST_SINE:
        return torch.lerp(start, end, fraction)
    from_start = ((1 - fraction) * angle).sin() * F.normalize(start, dim=0)
    from_end = (fraction * angle).sin() * F.normalize(end, dim=0)
    length = torch.lerp(start.norm(), end.norm(), fraction)
    return length * (from_start + from_end) / angle.sin()
