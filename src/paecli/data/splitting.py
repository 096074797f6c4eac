"""Which images are held out: drawn by position, or by what each image shows."""

import hashlib
from typing import Literal

import torch
from torch import Tensor

from paecli.data.dataset import ImageSplit
from paecli.system.errors import DataError

SplitRule = Literal["content", "position"]

KEY_BYTES = 8  # among a million images two different ones share a key with a chance of 3e-8
CHUNK = 4096  # images that are copied at once, so that a mapped file never fills the memory


def content_keys(images: Tensor) -> Tensor:
    """Returns a number for each image that depends on its shape and pixels alone.

    Args:
        images: `(n, c, h, w)` uint8.

    Returns:
        `(n,)` int64, the first 64 bits of BLAKE2b.
    """
    shape = hashlib.blake2b(f"{tuple(images.shape[1:])}\n".encode(), digest_size=KEY_BYTES)
    keys = []
    for chunk in images.split(CHUNK) if len(images) else ():
        for pixels in chunk.flatten(1).contiguous().numpy():
            digest = shape.copy()
            digest.update(pixels.data)
            keys.append(int.from_bytes(digest.digest(), "little", signed=True))
    return torch.tensor(keys, dtype=torch.int64)


def hold_out(
    split: ImageSplit,
    *,
    fraction: float,
    seed: int,
    by: SplitRule = "content",
    purpose: str = "test",
    least: int = 1,
) -> tuple[ImageSplit, ImageSplit]:
    """Splits images into those kept and those held out.

    By content, each image is held out or not whatever else there is: it stays on its side when
    others are added, removed or renamed, and copies of it are on the same side. The number held
    out is then binomial, `fraction` of all in the mean. By position, as in version 0.1, the
    number is exact, but one image more or less draws all anew.

    Args:
        split: at least two images, of which two differ.
        fraction: part to hold out, between 0 and 1; at least one image is on each side.
        seed: the same seed gives the same parts.
        by: the rule.
        purpose: by content, parts for different purposes are drawn independently.
        least: by content, hold out at least so many, if there are as many different ones.

    Returns:
        The kept and the held-out images, each in their old order.

    Raises:
        DataError: fewer than two images, or by content all the same.
    """
    total = len(split)
    if total < 2:
        raise DataError(
            f"{'1 image' if total == 1 else 'no images'} cannot be divided into a training and a "
            "held-out part; give at least 2"
        )
    if by == "content":
        held = _draw_by_content(split, fraction, f"{purpose}:{seed}", least)
        return split.select(~held), split.select(held)
    count = min(max(round(fraction * total), 1), total - 1)
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    return split.select(order[count:].sort().values), split.select(order[:count].sort().values)


def _draw_by_content(split: ImageSplit, fraction: float, salt: str, least: int) -> Tensor:
    """Returns `(n,)` bool, whether each image is held out."""
    keys = content_keys(split.images).tolist()
    share = torch.tensor([_share(key, salt) for key in keys], dtype=torch.float64)
    lowest, highest = share.min(), share.max()
    enough = share.sort().values[min(least, len(share)) - 1]
    if lowest == highest:
        raise DataError(
            f"all {len(split)} images are the same, so none can be held out; "
            "give at least 2 different ones"
        )
    return (share < highest) & ((share < fraction) | (share <= enough)) | (share == lowest)


def _share(key: int, salt: str) -> float:
    """Returns a number in [0, 1) that looks random but is fixed by key and salt."""
    content = key.to_bytes(KEY_BYTES, "little", signed=True)
    digest = hashlib.blake2b(content, digest_size=KEY_BYTES, key=salt.encode()).digest()
    # 53 bits, as many as a float64 holds: more would round up to 1
    return (int.from_bytes(digest, "little") >> 11) / 2**53
