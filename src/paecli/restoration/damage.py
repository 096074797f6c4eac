"""Restores images with a trained model: checks, calibration and first guesses."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from paecli.model.pixel_table import TabulatedPixels
from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.inflation import measure_inflation
from paecli.restoration.pixel_model import GaussianPixels, PixelModel
from paecli.restoration.restore import Damage, restore_images
from paecli.restoration.result import Restoration
from paecli.restoration.solve import METHODS, Method
from paecli.system.errors import UsageError

if TYPE_CHECKING:
    from paecli.model.model import PAE


def restore_with(
    model: PAE,
    images: Tensor,
    *,
    mask: Tensor | None,
    noise: float,
    method: Method,
    samples: int,
    starts: int,
    seed: int,
) -> list[Restoration]:
    """Restores a batch of images; see `PAE.restore` for the arguments.

    Raises:
        UsageError: shapes that do not fit, an unknown method, a count below 1, observed
            values that are not finite, or outside [0, 1] without noise.
    """
    model.require_flow()
    if method not in METHODS:
        raise UsageError(f"no method {method!r}; choose one of {', '.join(METHODS)}")
    if min(samples, starts) < 1:
        raise UsageError("samples and starts must be at least 1")
    damage = check_damage(images, mask, noise=noise, image_shape=model.image_shape)
    data = damage.data.to(model.sigma)
    damage = Damage(data, damage.observed.to(data.device), noise)
    return restore_images(
        damage,
        space=latent_space(model),
        latent_size=model.latent_size,
        sigma=model.sigma,
        inflation=measured_inflation(model, damage.observed),
        pixels=_pixel_model(model),
        method=method,
        samples=samples,
        starts=starts,
        seed=seed,
        guesses=_guesses(model, damage),
    )


def check_damage(
    images: Tensor, mask: Tensor | None, *, noise: float, image_shape: tuple[int, int, int]
) -> Damage:
    """Checks damaged images and spreads the mask over images and channels.

    Raises:
        UsageError: as `restore_with`.
    """
    if images.ndim != 4 or tuple(images.shape[1:]) != tuple(image_shape):
        raise UsageError(
            f"images have shape {tuple(images.shape)}, the model takes (n, "
            f"{', '.join(map(str, image_shape))}); resize or convert them first"
        )
    if not (isfinite(noise) and noise >= 0):
        raise UsageError(f"noise is {noise}, it must be a standard deviation of 0 or more")
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
    seen = images[observed]
    if not seen.isfinite().all():
        raise UsageError("observed pixels are NaN or infinite; mask them as missing")
    if noise == 0 and seen.numel() and (seen.min() < 0 or seen.max() > 1):
        raise UsageError("observed pixels lie outside [0, 1]; scale them, or give their noise")
    return Damage(images.float(), observed, float(noise))


def latent_space(model: PAE) -> LatentSpace:
    """Returns the model's whitened latents and their maps."""
    flow = model.require_flow()
    return LatentSpace(
        decode=lambda white: model.autoencoder.decode(flow.unwhiten(white)),
        to_base=flow.white_to_base,
        from_base=flow.base_to_white,
        base=flow.base,
    )


def measured_inflation(model: PAE, observed: Tensor) -> Tensor:
    """Measures the inflation of each image's mask, `(n,)`; equal masks are measured once."""
    masks, which = torch.unique(observed.flatten(1), dim=0, return_inverse=True)
    factors = [
        measure_inflation(
            model.calibration,
            model.generate,
            base=model.require_flow().base,
            sigma=model.sigma,
            observed=each.reshape(model.image_shape),
        )
        for each in masks
    ]
    return torch.tensor(factors).to(model.sigma)[which]


def _pixel_model(model: PAE) -> PixelModel:
    if not model.calibration.fitted:
        return GaussianPixels(model.sigma.flatten())
    table = model.calibration
    return TabulatedPixels(table.edges, table.quantiles, model.image_shape)


@torch.no_grad()
def _guesses(model: PAE, damage: Damage) -> Tensor:
    """Encodes the images with their holes filled by the mean of what is seen: `(n, 1, k)`."""
    seen = damage.observed.flatten(1)
    data = torch.where(damage.observed, damage.data, torch.zeros_like(damage.data))
    average = data.flatten(1).sum(1) / seen.sum(1).clamp_min(1)
    filled = torch.where(damage.observed, data, average.view(-1, 1, 1, 1)).clamp(0, 1)
    # an image at a time: the last digits of a batch depend on who is in it
    alone = [model.require_flow().to_base(model.encode(each[None]))[0] for each in filled]
    return torch.stack(alone).nan_to_num()
