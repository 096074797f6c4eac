"""Training images that others are compared with: their latents and their scores."""

from typing import Any

import torch
from torch import Tensor, nn

IMAGES = 60_000  # about so many are enough; more cost space and time
NEIGHBOURS = 50
EDGE = 2  # of these, the last ones count in part, and so do as many beyond them
FEATURES = 3  # -log p(z); logarithms of the weighted error and of the cycle distance
COMPONENTS = 2 + FEATURES  # -log p(z), the features beside the neighbours', the log distance
DISTANCE_WEIGHT = 0.5  # of the log distance beside the local log density
ALLOWANCE = 1.5  # standard deviations by which an error may exceed the neighbours'
SHARPNESS = 4.0  # of the soft maximum
NARROWEST = 2e-3  # share of the distance over which neighbours pass from those that count
SMALLEST = 1e-3  # distance below which two latents are the same: kept ones have 11 bits


class ReferenceImages(nn.Module):
    """Judges scores by those of the nearest training images.

    What is usual depends on the kind of image: a shoe reconstructs better than a patterned
    shirt, so an error that is usual for shirts is not for a shoe. Comparing a score with its
    mean over the nearest reference latents takes that out, like the local outlier factor
    (Breunig et al., SIGMOD 2000) does for densities. For `-log p(z)` it is a likelihood ratio
    (Ren et al., arXiv:1906.02845) whose background is the density of the surroundings.

    The images are those the model was trained on, whose errors are a little small. Statistics
    of the comparison are therefore taken over held-out images.

    Attributes:
        latents: `(n, latent_size)` whitened latents of training images, in float16's digits.
        features: `(n, 3)` their scores.
        statistics: `(2, 5)` mean and standard deviation of the components over held-out
            images; without rows before `fit`.
    """

    latents: Tensor
    features: Tensor
    statistics: Tensor

    def __init__(self, latent_size: int) -> None:
        """Starts without images."""
        super().__init__()
        self.register_buffer("latents", torch.zeros(0, latent_size))
        self.register_buffer("features", torch.zeros(0, FEATURES))
        self.register_buffer("statistics", torch.zeros(0, COMPONENTS))
        self.register_load_state_dict_pre_hook(_make_room)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def keep(self, latents: Tensor, features: Tensor) -> None:
        """Keeps reference images to compare with.

        Args:
            latents: `(n, latent_size)` whitened, `n` at least 1.
            features: `(n, 3)` their scores.
        """
        # rounded now, so that scores do not change when the file is read back
        self.latents = latents.half().to(self.statistics)
        self.features = features.to(self.statistics)

    @torch.no_grad()
    def fit(self, components: Tensor) -> None:
        """Measures how the components spread.

        Args:
            components: `(m, 5)`, `compare` of other images than those that are kept, m at least 1.
        """
        spread = components.std(0, correction=0).clamp_min(1e-6)
        self.statistics = torch.stack((components.mean(0), spread))

    def compare(self, latents: Tensor, features: Tensor) -> Tensor:
        """Returns the components of images, `(b, 5)`.

        They are `-log p(z)`, each feature minus its mean over the nearest reference images, and
        the logarithm of the distance to the nearest one.

        Args:
            latents: `(b, latent_size)` whitened.
            features: `(b, 3)`.
        """
        count = min(NEIGHBOURS + EDGE + 1, len(self.latents))
        near = torch.cdist(latents, self.latents).topk(count, largest=False).indices
        # again, since cdist squares and subtracts, which loses the digits of small distances
        distances = (latents.unsqueeze(1) - self.latents[near]).norm(dim=2)
        distances, order = distances.sort(dim=1)
        shares = _shares(distances).unsqueeze(2)
        usual = (shares * self.features[near.gather(1, order)]).sum(1)
        log_distance = distances[:, :1].clamp_min(SMALLEST).log()
        return torch.cat((features[:, :1], features - usual, log_distance), dim=1)

    def combine(self, components: Tensor) -> Tensor:
        """Returns one score of components `(b, 5)`: `(b,)`.

        The local log density and the log distance, in standard deviations, add up to one
        statement about the latent. Its soft maximum with the two local errors, less an
        allowance, lets an error count once it is large.
        """
        mean, spread = self.statistics
        _, density, error, cycle, distance = ((components - mean) / spread).unbind(1)
        latent = (density + DISTANCE_WEIGHT * distance) / (1 + DISTANCE_WEIGHT**2) ** 0.5
        parts = torch.stack((latent, error - ALLOWANCE, cycle - ALLOWANCE), dim=1)
        return torch.logsumexp(SHARPNESS * parts, dim=1) / SHARPNESS


def _shares(distances: Tensor) -> Tensor:
    """Returns how much each of the nearest images counts in their mean.

    Of two that are almost equally near, a last digit would decide which is the fiftieth, and the
    mean would jump. So it passes gently from those that count to those that do not: from the
    48th to the 53rd, and over `NARROWEST` of the distance at least, where these are as far.

    Args:
        distances: `(b, k)` ascending.

    Returns:
        `(b, k)`, each row with a sum of 1. Of no more than `NEIGHBOURS` images all count alike.
    """
    if distances.shape[1] <= NEIGHBOURS:
        return torch.ones_like(distances) / distances.shape[1]
    inner, outer = distances[:, NEIGHBOURS - EDGE - 1, None], distances[:, -1:]
    tiny = torch.finfo(distances.dtype).tiny  # all equally near: all count
    width = torch.maximum(outer - inner, NARROWEST * outer)
    shares = ((outer - distances + tiny) / (width + tiny)).clamp_max(1)
    return shares / shares.sum(1, keepdim=True)


def _make_room(module: nn.Module, state: dict[str, Any], prefix: str, *_unused: object) -> None:
    """Gives the buffers the size they have in a saved state, which holds any number of images."""
    for name, buffer in list(module.named_buffers(recurse=False)):
        saved = state.get(prefix + name)
        if saved is not None and saved.shape[1:] == buffer.shape[1:]:
            module.register_buffer(name, buffer.new_zeros(saved.shape))
