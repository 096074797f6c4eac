"""Normal images that others are compared with: their latents and their scores."""

from typing import Any

import torch
from torch import Tensor, nn

NEIGHBOURS = 50
FEATURES = 3  # -log p(z); logarithms of the weighted error and of the cycle distance
COMPONENTS = 1 + FEATURES  # -log p(z) itself, and each feature compared with the neighbours'
SHARPNESS = 2.0  # of the soft maximum; 1 to 4 make little difference


class NormalReference(nn.Module):
    """Judges scores by those of the nearest normal images.

    What is usual depends on the kind of image: a shoe reconstructs better than a patterned
    shirt, so an error that is usual for shirts is not for a shoe. Comparing a score with its
    mean over the nearest normal latents takes that out, like the local outlier factor
    (Breunig et al., SIGMOD 2000) does for densities. The soft maximum over the components then
    asks whether an image is unusual in any of them.

    Attributes:
        latents: `(n, latent_size)` whitened latents of held-out normal images.
        features: `(n, 3)` their scores.
        mean: `(4,)` mean of the components over these images.
        std: `(4,)` their standard deviation.
    """

    latents: Tensor
    features: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, latent_size: int) -> None:
        """Starts without images."""
        super().__init__()
        self.register_buffer("latents", torch.zeros(0, latent_size))
        self.register_buffer("features", torch.zeros(0, FEATURES))
        self.register_buffer("mean", torch.zeros(COMPONENTS))
        self.register_buffer("std", torch.ones(COMPONENTS))
        self.register_load_state_dict_pre_hook(_make_room)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def fit(self, latents: Tensor, features: Tensor) -> None:
        """Keeps normal images.

        Args:
            latents: `(n, latent_size)` whitened, `n` at least 1.
            features: `(n, 3)` their scores.
        """
        self.latents, self.features = latents.to(self.mean), features.to(self.mean)
        components = self._components(latents, features, skip_nearest=len(latents) > 1)
        self.mean.copy_(components.mean(0))
        self.std.copy_(components.std(0, correction=0).clamp_min(1e-6))

    def local_deviation(self, latents: Tensor, features: Tensor) -> Tensor:
        """Returns features `(b, 3)` minus their mean over the nearest normal images."""
        return self._components(latents, features)[:, 1:]

    def combine(self, latents: Tensor, features: Tensor) -> Tensor:
        """Returns the soft maximum of the standardised components, `(b,)`.

        Args:
            latents: `(b, latent_size)` whitened.
            features: `(b, 3)`.
        """
        standardised = (self._components(latents, features) - self.mean) / self.std
        return torch.logsumexp(SHARPNESS * standardised, dim=1) / SHARPNESS

    def _components(
        self, latents: Tensor, features: Tensor, *, skip_nearest: bool = False
    ) -> Tensor:
        """Returns `(b, 4)`; `skip_nearest` leaves out the image itself."""
        count = min(NEIGHBOURS + skip_nearest, len(self.latents))
        nearest = torch.cdist(latents, self.latents).topk(count, largest=False).indices
        usual = self.features[nearest[:, int(skip_nearest) :]].mean(1)
        return torch.cat((features[:, :1], features - usual), dim=1)


def _make_room(module: nn.Module, state: dict[str, Any], prefix: str, *_unused: object) -> None:
    """Gives the buffers the size they have in a saved state, which holds any number of images."""
    for name, buffer in list(module.named_buffers(recurse=False)):
        saved = state.get(prefix + name)
        if saved is not None and saved.shape[1:] == buffer.shape[1:]:
            module.register_buffer(name, buffer.new_zeros(saved.shape))
