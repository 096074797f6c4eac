"""Masks from their descriptions, and how noise is added to an image."""

import torch
from torch import Tensor

from paecli.restoration.masks.shapes import MissingAtRandom, parse_mask


def draw_mask(spec: str, *, height: int, width: int, seed: int = 0) -> Tensor:
    """Builds a mask from its description.

    Args:
        spec: see `parse_mask`.
        height: rows of the image.
        width: columns of the image.
        seed: of the random mask.

    Returns:
        Boolean `(height, width)`, True where the image is observed.

    Raises:
        UsageError: no such shape, or numbers that do not fit the image.
    """
    shape = parse_mask(spec, height=height, width=width)
    if isinstance(shape, MissingAtRandom):
        generator = torch.Generator().manual_seed(seed)
        return torch.rand(height, width, generator=generator) >= shape.probability
    observed = torch.ones(height, width, dtype=torch.bool)
    observed[shape.upper : shape.lower, shape.left : shape.right] = False
    return observed


def add_noise(x: Tensor, *, noise: float, seed: int = 0) -> Tensor:
    """Adds independent Gaussian noise of standard deviation `noise`; the result is not clipped."""
    generator = torch.Generator().manual_seed(seed)
    return x + noise * torch.randn(x.shape, generator=generator).to(x)
