"""Stage 1 over patches: a linear autoencoder, that is principal components."""

import torch
from torch import Tensor, nn

from paecli.model.identities import identities

SMALLEST_VARIANCE = 1e-6  # of a direction, relative to the largest


class PatchAutoencoder(nn.Module):
    """Compresses features of patches to their principal components, and knows what it leaves out.

    A linear autoencoder that minimises the squared error spans the principal components
    (Baldi & Hornik 1989), which need no training. What is left out is small for
    in-distribution patches in a known way: its energy is compared with its variance in each
    direction.

    Attributes:
        size: features of a patch.
        latent_size: components that are kept.
        mean: `(size,)` mean of the features.
        scale: `(size,)` their standard deviations.
        components: `(size, size)` orthonormal columns, by falling variance, of scaled features.
        variances: `(size,)` variances along them.
    """

    mean: Tensor
    scale: Tensor
    components: Tensor
    variances: Tensor

    def __init__(self, *, size: int, latent_size: int) -> None:
        """Starts with the first `latent_size` features as the components.

        Raises:
            ValueError: more latents than features, or none.
        """
        super().__init__()
        if not 0 < latent_size <= size:
            raise ValueError(f"{latent_size} latents of {size} features; take 1 to {size}")
        self.size, self.latent_size = size, latent_size
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("components", identities(1, size)[0])
        self.register_buffer("variances", torch.ones(size))

    @torch.no_grad()
    def fit(self, total: Tensor, products: Tensor, count: int) -> None:
        """Finds the components from sums over patches.

        Args:
            total: `(size,)` float64 sum of the features.
            products: `(size, size)` float64 sum of their outer products.
            count: how many patches, at least 2.
        """
        mean = total / count
        covariance = products / count - mean[:, None] * mean
        scale = covariance.diagonal().clamp_min(0).sqrt()
        scale = scale.clamp_min(max(scale.max().item() * 1e-6, 1e-12))
        values, vectors = torch.linalg.eigh(covariance / scale[:, None] / scale)
        floor = max(SMALLEST_VARIANCE * values.max().item(), 1e-12)
        self.mean.copy_(mean)
        self.scale.copy_(scale)
        self.components.copy_(vectors.flip(1))
        self.variances.copy_(values.flip(0).clamp_min(floor))

    def project(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Maps features `(n, size)` to latents `(n, latent_size)` and the coordinates left out."""
        coordinates = ((features - self.mean) / self.scale) @ self.components
        return coordinates[:, : self.latent_size], coordinates[:, self.latent_size :]

    def encode(self, features: Tensor) -> Tensor:
        """Maps features `(n, size)` to latents `(n, latent_size)`."""
        return self.project(features)[0]

    def decode(self, z: Tensor) -> Tensor:
        """Maps latents `(n, latent_size)` back to features `(n, size)`."""
        return z @ self.components[:, : self.latent_size].T * self.scale + self.mean

    def residual_energy(self, left_out: Tensor) -> Tensor:
        """Returns `- log N(left out; 0, variances)` less its constant, `(n,)` in nats."""
        return 0.5 * (left_out.square() / self.variances[self.latent_size :]).sum(1)

    def explained(self) -> float:
        """Returns the share of the scaled features' variance that the latents keep."""
        return float(self.variances[: self.latent_size].sum() / self.variances.sum())
