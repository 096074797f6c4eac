"""Damaged images as they are given: checked, with a mask for each."""

from dataclasses import dataclass

import torch
from torch import Tensor

from paecli.model.requirements import require_noise, require_operator
from paecli.restoration.operators import Operator, build_operator
from paecli.system.errors import UsageError


@dataclass(frozen=True)
class Damage:
    """Damaged images and what is known about the damage.

    Attributes:
        data: `(n, c, h, w)`; any finite values where missing.
        observed: `(n, c, h, w)` boolean, True where observed.
        noise: standard deviation of the noise on observed pixels; a number, or a tensor that
            broadcasts to `data`.
        operator: blur or down-sampling through which the images are seen, or None.
    """

    data: Tensor
    observed: Tensor
    noise: float | Tensor = 0.0
    operator: Operator | None = None

    @property
    def noise_variance(self) -> Tensor:
        """`(n, c, h, w)`."""
        return torch.as_tensor(self.noise).to(self.data).square().expand_as(self.data)

    @property
    def certain(self) -> Tensor:
        """`(n, c, h, w)` boolean: what is known exactly and stays as it is."""
        if self.operator is not None:
            return torch.zeros_like(self.observed)
        return self.observed & (self.noise_variance == 0)

    def paste(self, images: Tensor, index: int) -> Tensor:
        """Puts what is certain of image `index` into `(..., c, h, w)`."""
        if self.operator is not None:
            return images
        return torch.where(self.certain[index], self.data[index], images)

    def paste_all(self, images: Tensor) -> Tensor:
        """Puts what is certain of each image into its own of `(n, c, h, w)`."""
        if self.operator is not None:
            return images
        return torch.where(self.certain, self.data, images)

    def erase(self, std: Tensor, index: int) -> Tensor:
        """Returns the standard deviation `(c, h, w)` with 0 for what is certain of an image."""
        return std if self.operator is not None else std.masked_fill(self.certain[index], 0.0)


def check_damage(
    images: Tensor,
    mask: Tensor | None,
    *,
    noise: float | Tensor,
    image_shape: tuple[int, int, int],
    blur: float = 0.0,
    downsample: int = 1,
) -> Damage:
    """Checks damaged images and spreads the mask over images and channels.

    Images are float, or uint8, which stands for [0, 1] as everywhere.

    Raises:
        UsageError: as `paecli.restoration.restore.restore_with`.
    """
    images = images.float() / 255 if images.dtype == torch.uint8 else images
    operator = build_operator(image_shape, blur=blur, downsample=downsample)
    shape = require_operator(image_shape, blur=blur, downsample=downsample)
    if images.ndim != 4 or tuple(images.shape[1:]) != shape:
        small = f" with downsample={downsample}" if downsample > 1 else ""
        raise UsageError(
            f"images have shape {tuple(images.shape)}, the model takes (n, "
            f"{', '.join(map(str, shape))}){small}; resize or convert them first"
        )
    noise = _check_noise(noise, images)
    observed = _spread(torch.ones(1, *shape[1:]) if mask is None else mask, images, "mask").bool()
    seen = images[observed]
    if not seen.isfinite().all():
        raise UsageError("observed pixels are NaN or infinite; mask them as missing")
    exact = images[observed & _spread(torch.as_tensor(noise == 0), images, "noise")]
    if exact.numel() and (exact.min() < 0 or exact.max() > 1):
        raise UsageError("observed pixels lie outside [0, 1]; scale them, or give their noise")
    return Damage(images.float(), observed, noise, operator)


def _check_noise(noise: float | Tensor, images: Tensor) -> float | Tensor:
    if not isinstance(noise, Tensor):
        require_noise(noise)
        return float(noise)
    if not (noise.isfinite().all() and (noise >= 0).all()):
        raise UsageError("the noise map has values below 0, infinite or NaN; give deviations")
    return _spread(noise.float(), images, "noise map")


def _spread(values: Tensor, images: Tensor, name: str) -> Tensor:
    """Broadcasts `(h, w)`, `(n, h, w)` or `(n, c, h, w)` to the images."""
    if values.ndim == 3:
        values = values[:, None]
    try:
        return values.expand(images.shape)
    except RuntimeError:
        raise UsageError(
            f"the {name} has shape {tuple(values.shape)}, the images {tuple(images.shape)}; "
            f"give a {name} of the images' height and width"
        ) from None
