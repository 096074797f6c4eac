"""Damaged images as they are given: checked, with a mask for each."""

from dataclasses import dataclass

import torch
from torch import Tensor

from paecli.model.requirements import require_noise
from paecli.system.errors import UsageError


@dataclass(frozen=True)
class Damage:
    """Damaged images and what is known about the damage.

    Attributes:
        data: `(n, c, h, w)`; any finite values where missing.
        observed: `(n, c, h, w)` boolean, True where observed.
        noise: standard deviation of the noise on observed pixels.
    """

    data: Tensor
    observed: Tensor
    noise: float

    def paste(self, images: Tensor, index: int) -> Tensor:
        """Puts the observed pixels of image `index` into `(..., c, h, w)`, unless noisy."""
        if self.noise > 0:
            return images
        return torch.where(self.observed[index], self.data[index], images)


def check_damage(
    images: Tensor, mask: Tensor | None, *, noise: float, image_shape: tuple[int, int, int]
) -> Damage:
    """Checks damaged images and spreads the mask over images and channels.

    Raises:
        UsageError: as `paecli.restoration.restore.restore_with`.
    """
    if images.ndim != 4 or tuple(images.shape[1:]) != tuple(image_shape):
        raise UsageError(
            f"images have shape {tuple(images.shape)}, the model takes (n, "
            f"{', '.join(map(str, image_shape))}); resize or convert them first"
        )
    require_noise(noise)
    if mask is None:
        mask = torch.ones(1, *image_shape[1:])
    if mask.ndim == 3:
        mask = mask[:, None]
    try:
        observed = mask.bool().expand(images.shape)
    except RuntimeError:
        raise UsageError(
            f"the mask has shape {tuple(mask.shape)}, the images {tuple(images.shape)}; "
            "give a mask of the images' height and width"
        ) from None
    values = images[observed]
    if not values.isfinite().all():
        raise UsageError("observed pixels are NaN or infinite; mask them as missing")
    if noise == 0 and values.numel() and (values.min() < 0 or values.max() > 1):
        raise UsageError("observed pixels lie outside [0, 1]; scale them, or give their noise")
    return Damage(images.float(), observed, float(noise))
