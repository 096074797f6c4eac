"""What the two stages minimise."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paecli.core.autoencoder import Autoencoder
from paecli.core.flow import LatentFlow


class AutoencoderObjective(nn.Module):
    """Loss of stage 1: mean squared error, VAE or beta-VAE.

    - `ae`: mean squared error per pixel.
    - `vae`: negative evidence lower bound with a Gaussian pixel likelihood,
      divided by the number of pixels (Kingma & Welling, arXiv:1312.6114).
    - `beta-vae`: `reconstruction + beta |KL - C|`, C rising from 0 to `capacity`
      (Burgess et al., arXiv:1804.03599).
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        *,
        loss: str = "ae",
        pixel_sigma: float = 0.1,
        beta: float = 1.0,
        capacity: float = 0.0,
        free_bits: float = 0.0,
        anneal: float = 0.0,
    ) -> None:
        """Keeps the network and the weights of the loss.

        Args:
            autoencoder: variational unless `loss` is `ae`.
            loss: `ae`, `vae` or `beta-vae`.
            pixel_sigma: standard deviation of the pixel likelihood, in [0, 1] units.
            beta: weight of the KL term.
            capacity: C in nats.
            free_bits: nats per latent that cost nothing (Kingma et al., arXiv:1606.04934).
            anneal: fraction of the training in which beta (`vae`) or C (`beta-vae`) rises.
        """
        super().__init__()
        self.autoencoder = autoencoder
        self.loss = loss
        self.pixel_sigma = pixel_sigma
        self.beta = beta
        self.capacity = capacity
        self.free_bits = free_bits
        self.anneal = anneal

    def forward(self, x: Tensor, target: Tensor, fraction: float) -> Tensor:
        """Returns the loss of a batch.

        Args:
            x: `(b, c, h, w)` what the encoder sees.
            target: the same images as they should come back.
            fraction: how much of the training is done, in [0, 1].
        """
        if self.loss == "ae":
            return F.mse_loss(self.autoencoder(x), target)
        mean, log_variance = self.autoencoder.encode_distribution(x)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        squared = (self.autoencoder.decode(z) - target).square().flatten(1).sum(1).mean()
        reconstruction = squared / (2 * self.pixel_sigma**2)
        divergence = self._divergence(mean, log_variance)
        risen = min(1.0, fraction / self.anneal) if self.anneal else 1.0
        if self.loss == "vae":
            penalty = self.beta * risen * divergence
        else:
            penalty = self.beta * (divergence - self.capacity * risen).abs()
        return (reconstruction + penalty) / target[0].numel()

    def _divergence(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Returns KL(q(z|x) || N(0, I)) in nats, with free bits, averaged over the batch."""
        per_latent = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(0)
        return per_latent.clamp_min(self.free_bits).sum()


class FlowObjective(nn.Module):
    """Loss of stage 2: negative log-likelihood in nats per latent dimension."""

    def __init__(self, flow: LatentFlow) -> None:
        """Keeps the flow."""
        super().__init__()
        self.flow = flow

    def forward(self, z: Tensor, fraction: float) -> Tensor:
        """Returns the loss of latents `(b, latent_size)`; `fraction` is not used."""
        del fraction
        return -self.flow.log_prob(z).mean() / self.flow.latent_size
