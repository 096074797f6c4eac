"""Where tempered Monte Carlo begins: particles chosen from the prior pool, and how far they go."""

from dataclasses import replace

import torch
from torch import Tensor

from paecli.restoration.samplers.emulator import Seen
from paecli.restoration.samplers.particles import (
    Particles,
    effective_size,
    log_mean_exp,
    resample,
    take,
)
from paecli.restoration.samplers.prior_pool import Pool
from paecli.restoration.target import Target
from paecli.system.threads import fitting

CANDIDATES = 384  # draws of the pool, for each population, that are decoded
HALVED = 6  # times at most, where the pool's likelihoods are too far from the exact ones
GRID = 129  # first tempers that are looked at
HALVINGS = 40  # of the interval in which the next temper is searched


def first_guess(pool: Pool) -> float:
    """Returns the temper that leaves `CANDIDATES`; the stand-in may think too much possible."""
    share = CANDIDATES / pool.log_likelihood.shape[1]
    return min(
        furthest(values, begin=0.0, least=min(share, 0.5) * values.shape[1])
        for values in (pool.log_likelihood, pool.exact)
    )


def begin(
    target: Target, pool: Pool, about: float, *, size: int, generator: torch.Generator
) -> tuple[Particles, Tensor, float, Seen]:
    """Chooses particles of a pool: many by its own likelihoods, of these some by the exact ones.

    Arguments as of `temper`; `about` is the temper of the pool's likelihoods that the first are
    chosen by.

    Returns:
        The particles, the logarithms `(n,)` of the evidences of the first temper, that temper,
        and all that was decoded.
    """
    for about in [about / 2**halved for halved in range(HALVED)]:
        weights = about * pool.log_likelihood
        chosen = resample(weights, CANDIDATES, generator)
        candidates = _decode(target, take(pool.points, chosen), chosen)
        # the most of the exact likelihood that these can bear
        correction = -take(weights, chosen)
        b = _first_temper(candidates.log_likelihood.double(), correction, size=size, about=about)
        change = b * candidates.log_likelihood.double() + correction
        if (effective_size(change) >= size / 2).all():
            break
    log_evidence = log_mean_exp(weights) + log_mean_exp(change)
    particles = candidates.take(resample(change, size, generator))
    log_prior, gradient = target.prior_gradient(particles.points)
    particles = replace(particles, log_prior=log_prior, prior_gradient=gradient)
    return particles, log_evidence, b, see(target, candidates, about)


def _first_temper(log_likelihood: Tensor, correction: Tensor, *, size: int, about: float) -> float:
    """Returns the largest temper that leaves an effective `size`, else the one that leaves most."""
    tempers = about * torch.logspace(-2, 2, GRID, dtype=torch.float64, device=correction.device)
    tempers = torch.cat((tempers[tempers < 1], torch.ones_like(tempers[:1])))
    change = tempers[:, None, None] * log_likelihood + correction
    sizes = effective_size(change.flatten(0, 1)).view(len(tempers), -1).amin(1)
    enough = tempers[sizes >= size]
    return (enough.max() if len(enough) else tempers[sizes.argmax()]).item()


@torch.no_grad()
def _decode(target: Target, points: Tensor, ancestor: Tensor) -> Particles:
    """Returns particles at points `(n, s, k)`, of which some are equal, without their prior."""
    different, which = points.flatten(0, 1).unique(dim=0, return_inverse=True)
    with fitting("images of particles", len(different)):
        images = target.images(different[None])[0][which].view(*points.shape[:2], -1)
    unknown = torch.zeros_like(points)
    log_likelihood = target.log_likelihood(images)
    return Particles(points, images, log_likelihood, unknown[..., 0], unknown, ancestor)


def see(target: Target, particles: Particles, b: float) -> Seen:
    """Returns what particles that follow a temper tell an emulator."""
    observed = target.observed[0]
    misfit = target.misfit(particles.images)[..., observed]
    return Seen(b, particles.points, misfit, particles.log_likelihood)


def furthest(log_likelihood: Tensor, *, begin: float, least: float) -> float:
    """Returns the largest temper up to 1 at which every population keeps an effective size.

    Args:
        log_likelihood: `(n, s)` of particles that follow the posterior at temper `begin`.
        begin: the temper they follow.
        least: the effective size that must be left.
    """
    values = log_likelihood.double()

    def enough(b: float) -> bool:
        return bool((effective_size((b - begin) * values) >= least).all())

    if enough(1.0):
        return 1.0
    low, high = begin, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if enough(middle) else (low, middle)
    return high
