"""A linear autoencoder beside the networks: they then learn only what it lacks."""

import torch
from torch import Tensor, nn

from paecli.model.networks.layers import ImageShape
from paecli.model.networks.tangents import push_elementwise
from paecli.model.principal_components import PrincipalComponents

DARKEST = 1 / 510  # half a grey level: below it, and above 1 minus it, logits would run away
SMALLEST = 1e-3  # standard deviation of a latent beside that of the first


class LinearPath(nn.Module):
    """Principal components of the training images, which stay as they are while networks train.

    Encoder and decoder are `z = S^-1 V^T (x - mean)` and `x = mean + V S z`, with the directions V
    and standard deviations S. A network that is added to either and starts at zero makes an
    autoencoder that starts as good as principal components are.
    """

    mean: Tensor
    directions: Tensor
    scale: Tensor

    def __init__(self, image_shape: ImageShape, latent_size: int) -> None:
        """Starts without directions: it adds nothing until `fit`."""
        super().__init__()
        channels, height, width = image_shape
        self.image_shape = image_shape
        pixels = channels * height * width
        self.register_buffer("mean", torch.full((pixels,), 0.5))
        self.register_buffer("directions", torch.zeros(pixels, latent_size))
        self.register_buffer("scale", torch.ones(latent_size))

    @torch.no_grad()
    def fit(self, components: PrincipalComponents) -> None:
        """Takes the first directions; latents beyond their number stay 0."""
        count = min(components.directions.shape[1], self.directions.shape[1])
        deviations = components.variances[:count].clamp_min(0).sqrt()
        smallest = SMALLEST * deviations[:1].clamp_min(torch.finfo(deviations.dtype).tiny)
        self.mean.copy_(components.mean)
        self.directions.zero_()[:, :count] = components.directions[:, :count]
        self.scale.fill_(1)[:count] = torch.maximum(deviations, smallest)

    def encode(self, x: Tensor) -> Tensor:
        """Maps images `(b, c, h, w)` in [0, 1] to latents `(b, latent_size)`."""
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 has 8 bits, too few here
            return (x.flatten(1) - self.mean) @ self.directions / self.scale

    def logits(self, z: Tensor) -> Tensor:
        """Maps latents `(b, latent_size)` to logits of images `(b, c, h, w)`."""
        with torch.autocast(z.device.type, enabled=False):
            z = z if z.dtype == self.scale.dtype else z.to(self.scale.dtype)
            pixels = self.mean + (z * self.scale) @ self.directions.T
            logits: Tensor = _logits(pixels).unflatten(1, self.image_shape)
            return logits

    def push_logits(self, z: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """Maps latents and tangents `(k * b, latent_size)` to logits and their tangents."""
        pixels = self.mean + (z * self.scale) @ self.directions.T
        changes = (tangents * self.scale) @ self.directions.T
        logits, changes = push_elementwise(_logits, pixels, changes)
        return logits.unflatten(1, self.image_shape), changes.unflatten(1, self.image_shape)


def _logits(pixels: Tensor) -> Tensor:
    pixels = pixels.clamp(DARKEST, 1 - DARKEST)
    return pixels.log() - (1 - pixels).log()
