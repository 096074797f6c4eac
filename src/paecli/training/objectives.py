"""What the two stages minimise."""

from math import e, log, pi

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paecli.model.autoencoder import Autoencoder
from paecli.model.flow import LatentFlow
from paecli.model.model import SMALLEST_SIGMA

MEMORY = 0.01  # weight of the newest batch in the running pixel variance


class AutoencoderObjective(nn.Module):
    """Loss of stage 1: mean squared error, VAE, beta-VAE or VAE with a flow as its prior.

    - `ae`: mean squared error per pixel; see `map_stage` for its second part.
    - `vae`: negative evidence lower bound with a Gaussian pixel likelihood,
      divided by the number of pixels (Kingma & Welling, arXiv:1312.6114).
    - `beta-vae`: `reconstruction + beta |KL - C|`, C rising from 0 to `capacity`
      (Burgess et al., arXiv:1804.03599).
    - `flow-vae`: as `vae`, with log p(z) from a flow that is trained along in place of
      N(0, I) (the flow-VAE of arXiv:2006.05479; Chen et al., arXiv:1611.02731).

    The paper's beta0-VAE is `vae` with `beta` 0 and `posterior_sigma` 1: nothing holds the
    latents near N(0, I), and stage 2 learns where they are.
    """

    variance: Tensor
    seen: Tensor

    def __init__(
        self,
        autoencoder: Autoencoder,
        *,
        prior: LatentFlow | None = None,
        loss: str = "ae",
        pixel_sigma: float = 0.1,
        posterior_sigma: float = 0.0,
        beta: float = 1.0,
        capacity: float = 0.0,
        free_bits: float = 0.0,
        anneal: float = 0.0,
        map_stage: float = 0.0,
    ) -> None:
        """Keeps the network and the weights of the loss.

        Args:
            autoencoder: variational unless `loss` is `ae` or `posterior_sigma` is given.
            prior: the flow of `flow-vae`; it moves with the autoencoder.
            loss: `ae`, `vae`, `beta-vae` or `flow-vae`.
            pixel_sigma: standard deviation of the pixel likelihood, in [0, 1] units.
            posterior_sigma: standard deviation of q(z|x) in every latent; 0: learned.
            beta: weight of the KL term.
            capacity: C in nats.
            free_bits: nats per latent that cost nothing (Kingma et al., arXiv:1606.04934);
                under a flow prior, whose KL has no parts, their sum over all latents.
            anneal: fraction of the training in which beta (C of `beta-vae`) rises from 0.
            map_stage: `ae`: fraction of the training, at its end, that maximises
                `log N(x; decode(z), sigma^2) + log N(z; 0, I)` with the sigma of each pixel
                measured before; 0: none.
        """
        super().__init__()
        self.autoencoder = autoencoder
        self.prior = prior
        self.loss = loss
        self.pixel_sigma = pixel_sigma
        self.posterior_sigma = posterior_sigma
        self.beta = beta
        self.capacity = capacity
        self.free_bits = free_bits
        self.anneal = anneal
        self.map_stage = map_stage
        if map_stage:
            self.register_buffer("variance", torch.ones(autoencoder.image_shape))
            self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor, target: Tensor, fraction: float) -> Tensor:
        """Returns the loss of a batch.

        Args:
            x: `(b, c, h, w)` what the encoder sees.
            target: the same images as they should come back.
            fraction: how much of the training is done, in [0, 1].
        """
        if self.loss == "ae":
            return self._deterministic(x, target, fraction)
        mean, log_variance = self._posterior(x)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        squared = (self.autoencoder.decode(z) - target).square().flatten(1).sum(1).mean()
        reconstruction = squared / (2 * self.pixel_sigma**2)
        divergence = self._divergence(z, mean, log_variance)
        risen = min(1.0, fraction / self.anneal) if self.anneal else 1.0
        if self.loss == "beta-vae":
            penalty = self.beta * (divergence - self.capacity * risen).abs()
        else:
            penalty = self.beta * risen * divergence
        return (reconstruction + penalty) / target[0].numel()

    def _deterministic(self, x: Tensor, target: Tensor, fraction: float) -> Tensor:
        """Returns the squared error per pixel, at the end that of the MAP objective.

        The MAP objective is scaled so that it is the squared error when every pixel has the
        same sigma and latents cost nothing: steps keep their size.
        """
        z = self.autoencoder.encode(x)
        x_hat = self.autoencoder.decode(z)
        if not self.map_stage:
            return F.mse_loss(x_hat, target)
        squared = (x_hat - target).square()
        if fraction < 1 - self.map_stage:
            if self.training:
                self._measure_variance(squared.detach())
            return squared.mean()
        variance = self.variance.clamp_min(SMALLEST_SIGMA**2)
        penalty = z.float().square().sum(1).mean() / target[0].numel()
        return variance.mean() * ((squared / variance).mean() + penalty)

    def _measure_variance(self, squared: Tensor) -> None:
        """Moves the running mean of each pixel's squared error."""
        self.seen += 1
        self.variance.lerp_(squared.mean(0), max(MEMORY, 1 / int(self.seen)))

    def _posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean and log variance of q(z|x), each `(b, latent_size)`."""
        if not self.posterior_sigma:
            return self.autoencoder.encode_distribution(x)
        mean = self.autoencoder.encode(x).float()
        return mean, torch.full_like(mean, 2 * log(self.posterior_sigma))

    def _divergence(self, z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Returns KL(q(z|x) || p(z)) in nats, with free bits, averaged over the batch.

        In closed form under N(0, I); under a flow from the one draw `z` of each image.
        """
        if self.prior is None:
            per_latent = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean(0)
            return per_latent.clamp_min(self.free_bits).sum()
        entropy = 0.5 * (log_variance + log(2 * pi * e)).sum(1)
        divergence = -(entropy + self.prior.log_prob(z)).mean()
        return divergence.clamp_min(self.free_bits * z.shape[1])


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
