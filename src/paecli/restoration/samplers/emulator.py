"""A stand-in for the decoder near the particles, so that forces need no pass through it.

Nine tenths of a gradient of the posterior go into the decoder. The images of the particles, which
must be known anyway, tell how it goes on between them: a trend that is linear in the latents, by
weighted least squares, and a Gaussian process for what is left of each pixel (Rasmussen, "Gaussian
processes to speed up hybrid Monte Carlo for expensive Bayesian integrals", Bayesian Statistics 7
(2003) 651). Only forces are taken from it, never densities: a trajectory that follows any force
field can be accepted by the exact density (Neal, arXiv:1206.1901, section 5.5), so that errors of
the stand-in cost accepted moves, not truth.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from paecli.restoration.samplers.particles import effective_size

REACH = 0.35  # over which what is known of a point tells of others, in standard deviations a latent
NOISE = 1e-3  # variance of what is known, as part of the process's
MOST_KNOWN = 768  # points: the cost grows by the third power of their number
MOST_COLUMNS = 256  # of the misfit: those of more are told by so many combinations of them


@dataclass(frozen=True)
class Emulator:
    """`misfit(w) = offset + s slope + kernel(s, known) pull` with `s = (w - centre) units`.

    The misfit is told in `c` combinations of its values, which keep its length.

    Attributes:
        centre: `(k,)`.
        units: `(k, k)`; in them the particles have about unit covariance.
        known: `(m, k)` points whose images are known, in these units.
        offset: `(c,)`.
        slope: `(k, c)`.
        pull: `(m, c)`.
    """

    centre: Tensor
    units: Tensor
    known: Tensor
    offset: Tensor
    slope: Tensor
    pull: Tensor

    def log_likelihood(self, points: Tensor) -> Tensor:
        """Returns it at `(..., k)` points, but for a constant: `(...)` in nats."""
        standard = self._standard(points)
        return -0.5 * self._misfit(standard, _kernel(standard, self.known)).square().sum(-1)

    def gradient(self, points: Tensor) -> Tensor:
        """Returns the gradient of the log likelihood at `(..., k)` points: the same shape."""
        standard = self._standard(points)
        kernel = _kernel(standard, self.known)
        misfit = self._misfit(standard, kernel)
        shares = (misfit @ self.pull.mT) * kernel
        towards = shares @ self.known - shares.sum(-1, keepdim=True) * standard
        rise = misfit @ self.slope.mT + towards / _reach(standard.shape[-1]) ** 2
        return -rise @ self.units.mT

    def _standard(self, points: Tensor) -> Tensor:
        return (points - self.centre) @ self.units

    def _misfit(self, standard: Tensor, kernel: Tensor) -> Tensor:
        return self.offset + standard @ self.slope + kernel @ self.pull


@dataclass(frozen=True)
class Seen:
    """Points whose images are known, from one temper.

    Attributes:
        temper: the power of the likelihood that they follow.
        points: `(m, k)`.
        misfit: `(m, q)` of the observed values, in standard deviations.
        gain: `(m,)` by which the log density that they follow grows with the temper, in nats.
    """

    temper: float
    points: Tensor
    misfit: Tensor
    gain: Tensor

    def weights(self, temper: float) -> Tensor:
        """Returns `(m,)` weights for another temper, which sum to their effective number."""
        log_weights = (temper - self.temper) * self.gain.double()
        log_weights = log_weights.nan_to_num(nan=-torch.inf)
        share = log_weights.softmax(0).nan_to_num(nan=0.0)
        return share * effective_size(log_weights[None])


def fit_emulator(seen: list[Seen], temper: float, factors: Tensor) -> Emulator:
    """Fits the trend to points weighted as if they followed a temper, and the process to all.

    Args:
        seen: what is known, of which the last `MOST_KNOWN` points serve, but for those whose
            misfit is not finite.
        temper: the power of the likelihood.
        factors: `(k, k)` lower Cholesky factor of about the particles' covariance.
    """
    misfit, points, weights = (
        torch.cat(parts)[-MOST_KNOWN:]
        for parts in zip(*((s.misfit, s.points, s.weights(temper)) for s in seen), strict=True)
    )
    is_known = misfit.isfinite().all(1)
    misfit, points, weights = misfit[is_known], points[is_known].double(), weights[is_known, None]
    total = weights.sum().clamp_min(1e-9)
    centre = (weights * points).sum(0) / total
    units = torch.linalg.inv(factors.double()).mT
    standard = (points - centre) @ units
    scatter = standard.mT @ (weights * standard)
    # as if one more point said of each latent that it changes nothing
    ridge = scatter.diagonal() / total.clamp_min(1.0) + 1e-9
    offset = (weights / total).mT.to(misfit) @ misfit
    shared = (weights * standard).mT.to(misfit) @ (misfit - offset)  # float32: images are large
    slope = torch.linalg.solve(scatter + ridge.diag(), shared.double()).to(misfit)
    rest = misfit - offset - standard.to(misfit) @ slope
    offset, slope, rest = _narrowed(offset, slope, rest)
    covariance = _kernel(standard, standard) + NOISE * torch.eye(len(standard)).to(standard)
    pull = torch.cholesky_solve(rest, torch.linalg.cholesky(covariance).to(rest))
    fitted = (centre, units, standard, offset[0], slope, pull)
    return Emulator(*(each.to(seen[0].points) for each in fitted))


def _narrowed(offset: Tensor, slope: Tensor, rest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Tells rows of many columns in few orthogonal combinations that hold nearly all of them.

    Halko, Martinsson & Tropp, arXiv:0909.4061, algorithm 4.3 with one step.
    """
    first = torch.cat((offset, slope))
    count = MOST_COLUMNS - len(first)
    if rest.shape[1] <= MOST_COLUMNS or count <= 0:
        return offset, slope, rest
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(rest.shape[1], count, generator=generator).to(rest)
    found = rest.mT @ (rest @ directions)
    basis = torch.linalg.qr(torch.cat((first.mT, found / found.norm(dim=0).clamp_min(1e-12)), 1)).Q
    return offset @ basis, slope @ basis, rest @ basis


def _kernel(standard: Tensor, known: Tensor) -> Tensor:
    """Returns what a process says of `(..., k)` points from `(m, k)` known ones: `(..., m)`."""
    squared = standard.square().sum(-1, keepdim=True) + known.square().sum(-1)
    squared = (squared - 2 * standard @ known.mT).clamp_min(0)
    return (-0.5 * squared / _reach(known.shape[-1]) ** 2).exp()


def _reach(k: int) -> float:
    return REACH * max(k, 2) + 1
