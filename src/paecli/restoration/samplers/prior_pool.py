"""Draws from the prior that tempered Monte Carlo begins with, decoded once for many images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.randomness import derived_seed
from paecli.restoration.target import Target
from paecli.system.threads import fitting

# of a part, by default; the first temper, and with it every evidence, profits from many
MOST_DRAWS = 8192
MOST_VALUES = 2**24  # pixel values of a part, which are kept as float32
ROWS = 256  # draws decoded at once

Drawn = tuple[Tensor, Tensor]  # points and their images
Obtain = Callable[[str, Callable[[], Drawn]], Drawn]  # a name and how to draw


def draw_anew(_: str, draw: Callable[[], Drawn]) -> Drawn:
    """Obtains draws by making them."""
    return draw()


@dataclass(frozen=True)
class Pool:
    """Draws from the prior for `n` populations, and one image's likelihoods.

    Attributes:
        points: `(n, s, k)` whitened latents.
        images: `(n, s, p)` their images.
        log_likelihood: `(n, s)` in nats, in float64.
    """

    points: Tensor
    images: Tensor
    log_likelihood: Tensor


class PriorPool:
    """Parts of draws from the flow, each made when it is first asked for.

    What a part holds depends on the model and the seed alone, so that images may share it.
    """

    def __init__(
        self,
        space: LatentSpace,
        *,
        like: Tensor,
        populations: int,
        seed: int,
        draws: int = MOST_DRAWS,
        obtain: Obtain = draw_anew,
    ) -> None:
        """Takes the latents and the populations of an image.

        Args:
            space: whitened latents and their maps.
            like: `(n, p)` data of the images, for precision, device and size.
            populations: how many there are; each has draws of its own.
            seed: of the draws.
            draws: how many of a part, if memory allows.
            obtain: makes draws, or finds those of an earlier run under a name.
        """
        self.space, self.like, self.seed = space, like, seed
        most = min(draws, MOST_VALUES // like.shape[1])
        self.shape = (populations, max(1, most // populations))
        self._obtain = obtain
        self._part = cache(self._find_or_draw)

    @torch.no_grad()
    def for_image(self, target: Target, part: int) -> Pool:
        """Returns a part with the likelihoods of one image, whose posterior is `target`."""
        points, images = self._part(part)
        values = [target.log_likelihood(rows.unsqueeze(0))[0] for rows in images.split(ROWS)]
        log_likelihood = torch.cat(values).double().view(self.shape)
        return Pool(points, images.view(*self.shape, -1), log_likelihood)

    def _find_or_draw(self, part: int) -> Drawn:
        name = f"{self.seed} {part} {self.shape} {self.like.shape[1]}"
        return self._obtain(name, lambda: self._draw(part))

    @torch.no_grad()
    def _draw(self, part: int) -> Drawn:
        populations, size = self.shape
        generator = torch.Generator().manual_seed(derived_seed(self.seed, "prior", part))
        u = self.space.base.sample(populations * size, generator=generator).to(self.like)
        points = [self.space.from_base(rows) for rows in u.split(ROWS)]
        images = torch.cat([self._decode(rows) for rows in points])
        return torch.cat(points).view(populations, size, -1), images

    def _decode(self, points: Tensor) -> Tensor:
        with fitting("draws of the prior", len(points)):
            return self.space.decode(points).flatten(1)
