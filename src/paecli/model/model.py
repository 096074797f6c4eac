"""The probabilistic auto-encoder: autoencoder, flow and pixel noise as one model."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from paecli.model.autoencoder import Autoencoder
from paecli.model.flow import LatentFlow
from paecli.model.held_out_errors import (
    KEPT_IMAGES,
    HeldOutErrors,
    fit_held_out_errors,
    fitting_part,
)
from paecli.model.origin import TrainingKeys
from paecli.model.reference_images import ReferenceImages
from paecli.model.requirements import require_flow, require_reference_scores
from paecli.model.voices import Voices
from paecli.system.errors import UsageError
from paecli.system.limits import spread
from paecli.system.threads import fitting

SMALLEST_SIGMA = 1 / 255  # one grey level: finer errors of an 8-bit pixel are rounding
MOST_VALUES = 2**24  # pixel values of the images that errors are measured on: bounds the memory
BATCH = 200  # images that pass through the networks at once; larger ones miss the CPU's cache


class Model(nn.Module):
    """What is trained and saved: both stages and what was measured on held-out images.

    The probabilistic auto-encoder (Boehm & Seljak, arXiv:2006.05479); `paecli.PAE` adds scores and
    restorations.

    Attributes:
        autoencoder: stage 1.
        flow: stage 2, or None when only stage 1 is trained.
        sigma: `(channels, height, width)` standard deviation of a pixel about its
            reconstruction, measured on held-out images.
        held_out_errors: what restorations know of the model's errors; empty until
            `measure_errors`.
        reference_images: training images that others are compared with.
        voices: how statements about an image become one score.
        trained_on: which images it was trained on, so that it never calls them unseen.
        reference_scores: for each score, its values on held-out images, `(n,)` ascending;
            what p-values are measured against.
    """

    sigma: Tensor

    def __init__(self, autoencoder: Autoencoder, flow: LatentFlow | None = None) -> None:
        """Joins the two stages; `sigma` and `reference_scores` are set after training."""
        super().__init__()
        self.autoencoder = autoencoder
        self.flow = flow
        self.register_buffer("sigma", torch.ones(autoencoder.image_shape))
        self.held_out_errors = HeldOutErrors()
        self.reference_images = ReferenceImages(autoencoder.latent_size)
        self.voices = Voices()
        self.trained_on = TrainingKeys()
        self.reference_scores: dict[str, Tensor] = {}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(channels, height, width)` of the images."""
        return self.autoencoder.image_shape

    @property
    def latent_size(self) -> int:
        """Length of a latent vector."""
        return self.autoencoder.latent_size

    def require_flow(self) -> LatentFlow:
        """Returns the flow.

        Raises:
            CheckpointError: only stage 1 is trained.
        """
        require_flow(self.flow is not None)
        return cast(LatentFlow, self.flow)

    def as_images(self, x: Tensor) -> Tensor:
        """Checks images and makes them float in [0, 1].

        Args:
            x: `(b, c, h, w)`, uint8 in [0, 255] or float in [0, 1].

        Raises:
            UsageError: another shape, or values outside the range.
        """
        if x.ndim != 4 or tuple(x.shape[1:]) != self.image_shape:
            raise UsageError(
                f"images have shape {tuple(x.shape)}, the model takes (n, "
                f"{', '.join(map(str, self.image_shape))}); resize or convert them first"
            )
        if x.dtype == torch.uint8:
            return x.to(self.sigma.device).to(self.sigma.dtype) / 255
        if x.numel() and not (x.min() >= 0 and x.max() <= 1):
            raise UsageError("image values lie outside [0, 1] or are NaN; divide 8-bit ones by 255")
        return x.to(self.sigma)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Maps images `(b, c, h, w)`, uint8 or float in [0, 1], to latents `(b, latent_size)`."""
        parts = []
        for part in x.split(BATCH) if len(x) else ():
            with fitting("encoding", len(part)):
                parts.append(self.autoencoder.encode(self.as_images(part)))
        return torch.cat(parts) if parts else self.sigma.new_zeros(0, self.latent_size)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Maps latents `(b, latent_size)` to images `(b, c, h, w)` in [0, 1]."""
        parts = []
        for part in z.split(BATCH) if len(z) else ():
            with fitting("decoding", len(part)):
                parts.append(self.autoencoder.decode(part))
        return torch.cat(parts) if parts else self.sigma.new_zeros(0, *self.image_shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Returns `decode(encode(x))`, `(b, c, h, w)` in [0, 1]."""
        return self.decode(self.encode(x))

    def generate(self, u: Tensor) -> Tensor:
        """Maps base vectors `(b, latent_size)` to images in [0, 1]; differentiable."""
        return self.autoencoder.decode(self.require_flow().from_base(u))

    @torch.no_grad()
    def sample(
        self, count: int, *, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draws images from the model.

        Args:
            count: how many.
            temperature: scale of the base vectors; below 1 nearer to the typical image.
            generator: source of randomness; torch's global one by default.

        Returns:
            `(count, c, h, w)` in [0, 1].
        """
        flow = self.require_flow()
        return self.decode(flow.sample(count, temperature=temperature, generator=generator))

    @torch.no_grad()
    def log_prob(self, x: Tensor) -> Tensor:
        """Returns the log density of the images' latents, `(b,)` in nats."""
        parts = [
            self.require_flow().log_prob(z) for z in self.encode(x).split(10 * BATCH) if len(z)
        ]
        return torch.cat(parts) if parts else self.sigma.new_zeros(0)

    def require_reference_scores(self, score: str) -> Tensor:
        """Returns how reference images score, `(n,)` ascending.

        Raises:
            CheckpointError: this score was not measured on reference images.
        """
        require_reference_scores(score, self.reference_scores)
        return self.reference_scores[score]

    @torch.no_grad()
    def fit_sigma(self, held_out: Tensor) -> None:
        """Sets `sigma`, the root mean squared residual of each pixel.

        Pixels that are nearly always black reconstruct almost perfectly; they get a floor of one
        grey level of 8-bit images, below which differences are rounding.

        Args:
            held_out: `(n, c, h, w)`, uint8 or float in [0, 1]; one half of them is used.
        """
        total = torch.zeros_like(self.sigma)
        part = fitting_part(held_out)
        for batch in part.split(BATCH):
            x = self.as_images(batch)
            total += (x - self.autoencoder(x)).square().sum(0)
        self._set_sigma(total / max(len(part), 1))

    @torch.no_grad()
    def measure_errors(self, held_out: Tensor) -> None:
        """Sets `sigma`, as `fit_sigma`, and the errors that restorations must allow for.

        Both in one pass, over as many images as `MOST_VALUES` allow, evenly spaced; see
        `paecli.model.held_out_errors`.

        Args:
            held_out: `(n, c, h, w)`, uint8 or float in [0, 1], which no stage was trained on.
        """
        most = max(MOST_VALUES // math.prod(self.image_shape), KEPT_IMAGES)
        x = self.as_images(held_out[spread(len(held_out), most)])
        z = self.encode(x)
        decoded = self.decode(z)
        if len(x):
            self._set_sigma(fitting_part(x - decoded).square().mean(0))
        u, _ = self.require_flow().to_base(z)
        fit_held_out_errors(self.held_out_errors, u=u, images=x, decoded=decoded)

    def _set_sigma(self, mean_squares: Tensor) -> None:
        self.sigma.copy_(mean_squares.sqrt().clamp_min(SMALLEST_SIGMA))
