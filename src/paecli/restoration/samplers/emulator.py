"""A stand-in for the decoder near the particles, so that forces need no pass through it.

Nine tenths of a gradient of the posterior go into the decoder. Near the posterior its images are
about linear in the whitened latents (of few latents: quadratic), and the images of the particles,
which must be known anyway, show how: weighted least squares. Only forces are taken from it, never
densities: a trajectory that follows any force field can be accepted by the exact density (Neal,
arXiv:1206.1901, section 5.5), so that errors of the stand-in cost accepted moves, not truth.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from paecli.restoration.samplers.particles import effective_size

Batch = tuple[Tensor, Tensor, Tensor]


MOST_FEATURES = 64  # a quadratic of 9 latents has 54; of more the particles are too few to tell


@dataclass(frozen=True)
class Emulator:
    """`misfit(w) = offset + features((w - centre) / unit) slope`, about.

    The features are the latents and, where these are few, their products.

    Attributes:
        centre: `(k,)`.
        unit: `(k,)` standard deviations of the points that it was fitted to.
        pull: `(f,)` minus the gradient of the log likelihood with respect to the features at 0.
        curvature: `(f, f)` minus its derivative.
    """

    centre: Tensor
    unit: Tensor
    pull: Tensor
    curvature: Tensor

    def log_likelihood(self, points: Tensor) -> Tensor:
        """Returns it at `(..., k)` points, but for a constant: `(...)` in nats."""
        at = _features((points - self.centre) / self.unit)
        return -at @ self.pull - 0.5 * ((at @ self.curvature) * at).sum(-1)

    def gradient(self, points: Tensor) -> Tensor:
        """Returns the gradient of the log likelihood at `(..., k)` points: the same shape."""
        standard = (points - self.centre) / self.unit
        slope = self.pull + _features(standard) @ self.curvature
        k = points.shape[-1]
        linear = slope[..., :k]
        if slope.shape[-1] > k:
            rows, columns = torch.triu_indices(k, k)
            products = slope.new_zeros(*slope.shape[:-1], k, k)
            products[..., rows, columns] = slope[..., k:]
            both = products + products.mT
            linear = linear + (both @ standard.unsqueeze(-1)).squeeze(-1)
        return -linear / self.unit


def _features(standard: Tensor) -> Tensor:
    """Returns latents `(..., k)` and, where these are few, their products: `(..., f)`."""
    k = standard.shape[-1]
    if k * (k + 3) // 2 > MOST_FEATURES:
        return standard
    rows, columns = torch.triu_indices(k, k)
    return torch.cat((standard, standard[..., rows] * standard[..., columns]), dim=-1)


@dataclass(frozen=True)
class Seen:
    """Points whose images are known, from one temper.

    Attributes:
        temper: the power of the likelihood that they follow.
        points: `(m, k)`.
        misfit: `(m, q)` of the observed values, in standard deviations.
        log_likelihood: `(m,)` in nats.
    """

    temper: float
    points: Tensor
    misfit: Tensor
    log_likelihood: Tensor

    def weights(self, temper: float) -> Tensor:
        """Returns `(m,)` weights for another temper, which sum to their effective number."""
        log_weights = (temper - self.temper) * self.log_likelihood.double()
        log_weights = log_weights.nan_to_num(nan=-torch.inf)
        share = log_weights.softmax(0).nan_to_num(nan=0.0)
        return share * effective_size(log_weights[None])


def fit_emulator(seen: list[Seen], temper: float) -> Emulator:
    """Fits to points weighted as if they followed a temper.

    Args:
        seen: what is known; the last ones count as all others.
        temper: the power of the likelihood.
    """
    weights = torch.cat([each.weights(temper) for each in seen])[:, None]
    points = torch.cat([each.points for each in seen]).double()
    misfit = torch.cat([each.misfit for each in seen]).nan_to_num(posinf=0.0, neginf=0.0)
    total = weights.sum().clamp_min(1e-9)
    centre = (weights * points).sum(0) / total
    unit = ((weights * (points - centre).square()).sum(0) / total).sqrt().clamp_min(1e-6)
    features = _features((points - centre) / unit)
    middle = (weights * features).sum(0) / total
    offset = (weights / total).mT.to(misfit) @ misfit
    about = features - middle
    scatter = about.mT @ (weights * about)
    # as if one more point said of each feature that it changes nothing
    ridge = scatter.diagonal() / total.clamp_min(1.0) + 1e-9
    shared = (weights * about).mT.to(misfit) @ (misfit - offset)  # in float32: images are large
    slope = torch.linalg.solve(scatter + ridge.diag(), shared.double())
    fitted = (centre, unit, slope @ (offset[0] - middle @ slope), slope @ slope.mT)
    return Emulator(*(each.to(seen[0].points) for each in fitted))
