"""Stage 1: the autoencoder `x -> z -> x_hat`, deterministic or variational."""

import torch
from torch import Tensor, nn

from paecli.model.linear_path import LinearPath
from paecli.model.networks import NETWORKS
from paecli.model.networks.layers import ImageShape
from paecli.model.networks.tangents import push, push_elementwise


class Autoencoder(nn.Module):
    """An encoder and a decoder between images and latent vectors.

    Attributes:
        image_shape: `(channels, height, width)`.
        latent_size: length of a latent vector.
        variational: whether the encoder returns a Gaussian (mean and log variance).
        linear: principal components that the networks add to, or None.
    """

    def __init__(
        self,
        *,
        network: str,
        image_shape: ImageShape,
        latent_size: int,
        variational: bool = False,
        linear: bool = False,
        **options: float | int | bool,
    ) -> None:
        """Builds the networks.

        Args:
            network: a key of `paecli.model.networks.NETWORKS`.
            image_shape: `(channels, height, width)`.
            latent_size: length of a latent vector, at least 1.
            variational: whether to learn a variance for each latent too.
            linear: whether principal components lie beside the networks, which then start at
                zero; `linear.fit` sets them.
            **options: keyword arguments of the network's builder.

        Raises:
            KeyError: no such network.
            TypeError: the network has no such option.
        """
        super().__init__()
        channels, height, width = image_shape  # a list when it comes from a file
        self.image_shape = (channels, height, width)
        self.latent_size = latent_size
        self.variational = variational
        self.encoder, self.decoder = NETWORKS[network](
            image_shape=image_shape,
            latent_size=latent_size,
            encoder_outputs=latent_size * (2 if variational else 1),
            **options,
        )
        self.linear = LinearPath(self.image_shape, latent_size) if linear else None
        if linear:
            _start_at_zero(self.encoder)
            _start_at_zero(self.decoder)

    def encode(self, x: Tensor) -> Tensor:
        """Maps images `(b, c, h, w)` in [0, 1] to latents `(b, latent_size)` (VAE: the mean)."""
        z: Tensor = self.encoder(x)[:, : self.latent_size]
        return z if self.linear is None else z + self.linear.encode(x)

    def encode_distribution(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images to mean and log variance, each `(b, latent_size)`; variational only."""
        mean, log_variance = self.encoder(x).float().chunk(2, dim=1)
        mean = mean if self.linear is None else mean + self.linear.encode(x)
        # exp stays finite and its gradient alive in the first, wild steps
        return mean, log_variance.clamp(-14.0, 8.0)

    def decode(self, z: Tensor) -> Tensor:
        """Maps latents `(b, latent_size)` to images `(b, c, h, w)` in [0, 1]."""
        # float32 even under autocast: bfloat16 has 8 bits, too few for a pixel
        logits = self.decoder(z).float() if z.dtype != torch.float64 else self.decoder(z)
        return torch.sigmoid(logits if self.linear is None else logits + self.linear.logits(z))

    @torch.no_grad()
    def decode_along(self, z: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Decodes latents, and differentiates the images along directions.

        Args:
            z: `(b, latent_size)`.
            directions: `(k, latent_size)`, the same for all latents.

        Returns:
            Images `(b, c, h, w)` and their derivatives `(b, k, c, h, w)`, in evaluation mode.
        """
        tangents = directions.repeat_interleave(len(z), 0)
        logits, changes = push(self.decoder, z, tangents)
        if self.linear is not None:
            more, further = self.linear.push_logits(z, tangents)
            logits, changes = logits + more, changes + further
        images, changes = push_elementwise(torch.sigmoid, logits, changes)
        return images, changes.unflatten(0, (-1, len(z))).transpose(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstructs images: `decode(encode(x))`."""
        return self.decode(self.encode(x))


def _start_at_zero(network: nn.Module) -> None:
    """Lets the last layer with weights return 0."""
    weighted = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    last = [layer for layer in network.modules() if isinstance(layer, weighted)][-1]
    nn.init.zeros_(last.weight)
    if last.bias is not None:
        nn.init.zeros_(last.bias)
