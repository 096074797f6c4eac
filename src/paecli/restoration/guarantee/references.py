"""Held-out images damaged like the image in hand: is it like them, and how wide must intervals be?

Both answers need the model, the mask, the noise and the operator alone, so they are kept for the
next image with the same.
"""

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.special import ndtri

from paecli.model.model import Model
from paecli.restoration.damage import Damage
from paecli.restoration.guarantee.quick_fit import QuickFit, fit_quickly
from paecli.restoration.guarantee.risk_control import FAILURE, choose_factor
from paecli.restoration.restore import measured_inflation
from paecli.system.errors import UsageError
from paecli.system.limits import spread

COMPARED = 100  # held-out images that are fitted; more would tell finer and take longer
RATE = 0.05  # of false alarms
NOISE_SEED = 1


@dataclass(frozen=True)
class Likeness:
    """How what is observed of an image compares with held-out images under the same damage.

    Attributes:
        p_value: share of images that the model fits as badly, the image counted, in (0, 1].
        images: held-out images compared with.
    """

    p_value: float
    images: int

    @property
    def warning(self) -> str:
        """A sentence if the image is unlike the model's; empty otherwise."""
        if self.p_value > RATE:
            return ""
        return (
            f"this is not like the images the model was trained on: it fits what is observed worse "
            f"than nearly all of {self.images} held-out images (p-value {self.p_value:.2g}); do "
            "not rely on the answer"
        )


@dataclass(frozen=True)
class Guarantee:
    """Intervals that hold a share of the missing pixels, on average over images like the model's.

    Attributes:
        lower: `(n, c, h, w)` lower ends, in [0, 1]; `(c, h, w)` of one image.
        upper: upper ends, of the same shape.
        confidence: the share.
        factor: on the half width of Gaussian intervals of that probability.
        images: held-out images that set it.
        failure: probability that these happen to mislead.
    """

    lower: Tensor
    upper: Tensor
    confidence: float
    factor: float
    images: int
    failure: float = FAILURE

    def of_one(self) -> "Guarantee":
        """Returns the intervals of the only image, `(c, h, w)`."""
        return replace(self, lower=self.lower[0], upper=self.upper[0])


class References:
    """Held-out images of a model, damaged and fitted as the images to compare with them are."""

    def __init__(self, model: Model, images: Tensor) -> None:
        """Takes up to `COMPARED` of the images.

        Args:
            model: with both stages trained.
            images: `(m, c, h, w)` uint8 or float in [0, 1], which no stage was trained on.
        """
        if not len(images):
            images = images.new_zeros(0, *model.image_shape)
        self.model = model
        self.images = model.as_images(images[spread(len(images), COMPARED)])
        self._inflation: dict[str, Tensor] = {}
        self._energies: dict[str, Tensor] = {}
        self._ratios: dict[str, list[Tensor]] = {}

    def likeness(self, damage: Damage) -> Likeness | None:
        """Compares one image, `damage` of `n = 1`; None where nothing is observed."""
        if not damage.observed.any() or not len(self.images):
            return None
        return Likeness(self.p_values(damage).item(), len(self.images))

    def p_values(self, damage: Damage) -> Tensor:
        """Compares images that share a damage: `(n,)` in (0, 1]."""
        key = _key(damage)
        if key not in self._energies:
            self._energies[key] = self._fit(self._damaged(damage), key).energy
        worse = self._energies[key] >= self._fit(damage, key).energy[:, None]
        return (1 + worse.sum(1)).double() / (1 + len(self.images))

    def guarantee(self, damage: Damage, confidence: float) -> Guarantee:
        """Returns intervals of images that share a damage.

        Raises:
            UsageError: a confidence outside (0, 1), or one that so few images cannot promise.
        """
        if not 0 < confidence < 1:
            raise UsageError(f"confidence {confidence:g} is out of range; give 0.9, or so")
        key = _key(damage)
        if key not in self._ratios:
            self._ratios[key] = self._measure_ratios(damage, key)
        quantile = ndtri(torch.tensor((1 + confidence) / 2)).item()
        factor = choose_factor([each / quantile for each in self._ratios[key]], confidence)
        mean, std = self._moments(damage, key)
        reach = factor * quantile * std
        lower, upper = (damage.paste_all((mean + sign * reach).clamp(0, 1)) for sign in (-1, 1))
        return Guarantee(lower, upper, confidence, factor, len(self.images))

    def _measure_ratios(self, damage: Damage, key: str) -> list[Tensor]:
        damaged = self._damaged(damage)
        mean, std = self._moments(damaged, key)
        asked = ~damaged.certain if damaged.operator is None else torch.ones_like(mean).bool()
        distance = (self.images - mean).abs() / std
        return [each[where] for each, where in zip(distance, asked, strict=True)]

    def _fit(self, damage: Damage, key: str, *, spread: bool = False) -> QuickFit:
        damage = replace(damage, data=damage.data.to(self.images))
        if key not in self._inflation:
            self._inflation[key] = measured_inflation(
                self.model, damage.observed[:1], damage.operator
            )
        return fit_quickly(self.model, damage, self._inflation[key], spread=spread)

    def _moments(self, damage: Damage, key: str) -> tuple[Tensor, Tensor]:
        fit = self._fit(damage, key, spread=True)
        if fit.mean is None or fit.std is None:
            raise ValueError("asked for the spread")
        return fit.mean, fit.std

    def _damaged(self, damage: Damage) -> Damage:
        """Returns the held-out images with the damage of an image."""
        images = self.images if damage.operator is None else damage.operator(self.images)
        deviation = damage.noise_variance[:1].sqrt()
        generator = torch.Generator().manual_seed(NOISE_SEED)
        gaussian = torch.randn(images.shape, generator=generator).to(images)
        data = images + deviation * gaussian
        if _is_clipped(damage):
            data = data.clamp(0, 1)
        noise = deviation if isinstance(damage.noise, Tensor) else damage.noise
        observed = damage.observed[:1].expand(data.shape)
        return replace(damage, data=data, observed=observed, noise=noise)


def _is_clipped(damage: Damage) -> bool:
    """Tells whether a noisy image was saved as a picture, which cuts its values off at 0 and 1."""
    data = damage.data[damage.observed]
    return bool(data.min() >= 0 and data.max() <= 1) if data.numel() else True


def _key(damage: Damage) -> str:
    """Returns what equal masks, noises and operators share."""
    parts = [damage.observed[0], damage.noise_variance[0], torch.tensor(_is_clipped(damage))]
    if damage.operator is not None:
        parts += [damage.operator.rows, damage.operator.columns]
    content = b"".join(
        str(part.shape).encode() + part.cpu().contiguous().numpy().tobytes() for part in parts
    )
    return hashlib.sha256(content).hexdigest()
