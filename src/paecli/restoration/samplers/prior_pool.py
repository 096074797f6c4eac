"""Draws from the prior that tempered Monte Carlo begins with, shared by many images.

Nearly all of them are far from the posterior of any one image, and decoding a draw only to pass it
over is most of what a lone image would cost. So a stand-in for the decoder says about what each
one's image is: principal components of decoded images, regressed on random features (Rahimi &
Recht, "Weighted sums of random kitchen sinks", NeurIPS 2008) of some draws. What is chosen by it is
decoded and weighted by the exact likelihood (`tempering.begin`), so that its errors cost effective
size, not truth.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.randomness import derived_seed
from paecli.restoration.target import Target
from paecli.system.threads import fitting

DRAWS = 16384  # of a part; the first temper, and with it every evidence, profits from many
ROWS = 1024  # draws mapped at once
FITTED = 1024  # draws that are decoded, for the stand-in
DECODED = 128  # of these at once
COMPONENTS = 96  # principal components of the images
FEATURES = 256  # random ones, beside the latents themselves
RIDGE = 4.0  # as if so many more draws said of each feature that it changes nothing


@dataclass(frozen=True)
class Pool:
    """Draws from the prior for `n` populations, and one image's likelihoods, about.

    Attributes:
        points: `(n, s, k)` whitened latents.
        log_likelihood: `(n, s)` in nats by the stand-in, in float64.
        exact: `(1, m)` of other draws, as they are.
    """

    points: Tensor
    log_likelihood: Tensor
    exact: Tensor


@dataclass(frozen=True)
class StandIn:
    """About what a decoder gives: `image(w) = c(w) basis` with `c(w) = [1, w, silu(..)] slope`.

    Attributes:
        directions: `(k, f)` of the random features `silu(w directions + phases)`.
        phases: `(f,)`.
        slope: `(1 + k + f, r)`.
        basis: `(r, p)`.
    """

    directions: Tensor
    phases: Tensor
    slope: Tensor
    basis: Tensor

    @staticmethod
    def fit(points: Tensor, images: Tensor, generator: torch.Generator) -> "StandIn":
        """Fits to points `(m, k)` and their images `(m, p)`."""
        k = points.shape[1]
        directions = torch.randn(k, FEATURES, generator=generator).to(points) / k**0.5
        phases = torch.randn(FEATURES, generator=generator).to(points)
        features = _features(points, directions, phases).double()
        scatter = features.mT @ features / len(points)
        scatter = scatter + (RIDGE / len(points) * scatter.diagonal() + 1e-9).diag()
        images = images.nan_to_num(posinf=0.0, neginf=0.0)
        shared = features.mT.to(images) @ images / len(points)
        factor = torch.linalg.cholesky(scatter)
        # in features of unit covariance, the directions in which fitted images vary most
        white = torch.linalg.solve_triangular(factor, shared.double(), upper=False)
        _, vectors = torch.linalg.eigh(white @ white.mT)
        vectors = vectors[:, -COMPONENTS:]
        slope = torch.linalg.solve_triangular(factor.mT, vectors, upper=True)
        return StandIn(directions, phases, slope.to(points), (vectors.mT @ white).to(images))

    def __call__(self, points: Tensor) -> Tensor:
        """Maps points `(m, k)` to coefficients `(m, r)` of the basis."""
        return _features(points, self.directions, self.phases) @ self.slope

    def log_likelihood(self, target: Target, coefficients: Tensor) -> Tensor:
        """Returns that of one image for coefficients `(m, r)`: `(m,)` in nats, but a constant.

        What is seen of an image is linear in them, so that chi-squared is a quadratic form.
        """
        seen = target.observe(self.basis) * target.pixel_precision[0].sqrt()
        data = target.data[0] * target.pixel_precision[0].sqrt()
        form, pull = seen @ seen.mT, seen @ data
        return coefficients @ pull - 0.5 * ((coefficients @ form) * coefficients).sum(1)


def _features(points: Tensor, directions: Tensor, phases: Tensor) -> Tensor:
    bent = torch.nn.functional.silu(points @ directions + phases)
    return torch.cat((torch.ones_like(points[:, :1]), points, bent), dim=1)


class PriorPool:
    """Parts of draws from the flow, each made when it is first asked for.

    What a part holds depends on the model and the seed alone, so that images may share it.
    """

    def __init__(self, space: LatentSpace, *, like: Tensor, populations: int, seed: int) -> None:
        """Takes the latents and the populations of an image.

        Args:
            space: whitened latents and their maps.
            like: `(n, p)` data of the images, for precision and device.
            populations: how many there are; each has draws of its own.
            seed: of the draws.
        """
        self.space, self.like, self.seed = space, like, seed
        self.shape = (populations, max(1, DRAWS // populations))
        self._part = cache(self._draw)
        self._stand_in = cache(self._fit)

    @torch.no_grad()
    def for_image(self, target: Target, part: int) -> Pool:
        """Returns a part with the likelihoods of one image, whose posterior is `target`."""
        points, coefficients = self._part(part)
        stand_in, images = self._stand_in()
        log_likelihood = stand_in.log_likelihood(target, coefficients).double()
        exact = target.log_likelihood(images[None]).double()
        return Pool(points.view(*self.shape, -1), log_likelihood.view(self.shape), exact)

    @torch.no_grad()
    def _draw(self, part: int) -> tuple[Tensor, Tensor]:
        """Returns points `(m, k)` and the coefficients `(m, r)` of about their images."""
        populations, size = self.shape
        points = self._points(populations * size, "prior", part)
        return points, self._stand_in()[0](points)

    def _points(self, count: int, *name: object) -> Tensor:
        generator = torch.Generator().manual_seed(derived_seed(self.seed, *name))
        u = self.space.base.sample(count, generator=generator).to(self.like)
        return torch.cat([self.space.from_base(rows) for rows in u.split(ROWS)])

    @torch.no_grad()
    def _fit(self) -> tuple[StandIn, Tensor]:
        """Returns the stand-in and the images `(m, p)` that it was fitted to."""
        points = self._points(FITTED, "stand-in")
        images = torch.cat([self._decode(rows) for rows in points.split(DECODED)])
        generator = torch.Generator().manual_seed(derived_seed(self.seed, "features"))
        return StandIn.fit(points, images, generator), images

    def _decode(self, points: Tensor) -> Tensor:
        with fitting("draws of the prior", len(points)):
            return self.space.decode(points).flatten(1)
