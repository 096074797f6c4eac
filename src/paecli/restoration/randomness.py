"""Randomness of its own for every image, so that the company it is restored in changes nothing."""

import hashlib

import torch
from torch import Tensor


def derived_seed(seed: int, *parts: object) -> int:
    """Returns a seed in [0, 2^63) that depends on all of its arguments."""
    digest = hashlib.sha256(repr((seed, *parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def image_generator(seed: int, *, data: Tensor, observed: Tensor) -> torch.Generator:
    """Returns the generator of one image, from the seed and from what is seen of the image.

    Args:
        seed: the user's.
        data: values of the image; those that are not observed are left out.
        observed: boolean of the same shape.
    """
    seen = torch.where(observed, data, torch.zeros_like(data)).cpu().contiguous()
    mask = observed.cpu().contiguous()
    content = hashlib.sha256(seen.numpy().tobytes() + mask.numpy().tobytes()).hexdigest()
    return torch.Generator().manual_seed(derived_seed(seed, "image", content))
