"""Tempered sequential Monte Carlo: particles are carried from the prior to the posterior.

Del Moral, Doucet & Jasra, "Sequential Monte Carlo samplers", Journal of the Royal Statistical
Society B 68 (2006) 411. The densities on the way are `prior * likelihood^b`. A large pool of
draws from the prior, which all images share, is reweighted to the first `b`; from there each
stage goes as far as the weights allow, resamples, and moves every particle by Hamiltonian Monte
Carlo. Beginning at the prior rather than at modes that were found, no reading is left out
because no search came upon it.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from paecli.restoration.mixture import geometric_mean, shrunk_scatter
from paecli.restoration.samplers.hamiltonian import acceptance, kinetic, leapfrog
from paecli.restoration.samplers.particles import (
    Particles,
    effective_size,
    log_mean_exp,
    resample,
    take,
)
from paecli.restoration.samplers.prior_pool import Pool
from paecli.restoration.target import Evaluation, Target

KEPT_WEIGHT = 0.5  # effective share of the particles after a stage's reweighting
LEAPFROGS = 4
FIRST_STEP, SHORTEST_STEP, LONGEST_STEP = 0.3, 0.02, 0.6  # in the units of the metric
JITTER = 0.2  # relative spread of the step, against resonances
ACCEPTANCE = 0.75  # what the step size is adapted to
HALVINGS = 40  # of the interval in which the next temper is searched
MOST_STAGES = 60


@dataclass(frozen=True)
class Tempered:
    """Where the particles have come to.

    Attributes:
        particles: `n` populations.
        log_evidence: `(n,)` estimates of `log p(d)` in nats, one by each population; NaN when
            the posterior was not reached within `MOST_STAGES`.
        tempers: `b` of every stage.
    """

    particles: Particles
    log_evidence: Tensor
    tempers: tuple[float, ...]


def temper(target: Target, pool: Pool, *, size: int, generator: torch.Generator) -> Tempered:
    """Carries populations of particles from a pool of prior draws to the posterior of an image.

    Args:
        target: the posterior of one image over whitened latents, once for each population.
        pool: draws of the prior for each population.
        size: particles of a population.
        generator: source of randomness.
    """
    b = _furthest(pool.log_likelihood, begin=0.0, least=size)
    log_evidence = log_mean_exp(b * pool.log_likelihood)
    chosen = resample(b * pool.log_likelihood, size, generator)
    points = take(pool.points, chosen)
    particles = Particles(points, target.evaluate(points), chosen)
    kernel = Kernel.begin(particles)
    tempers = [b]
    while True:
        kernel = kernel.adapted(particles, b)
        particles, kernel = move(target, particles, kernel, b, generator)
        if b >= 1 or len(tempers) == MOST_STAGES:
            break
        likelihood = particles.at.log_likelihood
        further = _furthest(likelihood, begin=b, least=KEPT_WEIGHT * size)
        growth = (further - b) * likelihood.double()
        log_evidence = log_evidence + log_mean_exp(growth)
        particles = particles.take(resample(growth, size, generator))
        b = further
        tempers.append(b)
    reached = log_evidence if b >= 1 else torch.full_like(log_evidence, torch.nan)
    return Tempered(particles, reached, tuple(tempers))


@dataclass(frozen=True)
class Kernel:
    """How particles of `n` populations are moved.

    Attributes:
        factors: `(n, 1, k, k)` lower Cholesky factors of the metric, in float64.
        step: `(n, 1, 1)` length of a leapfrog step.
    """

    factors: Tensor
    step: Tensor

    @staticmethod
    def begin(particles: Particles) -> "Kernel":
        """Returns the kernel of whitened latents as they are."""
        n, _, k = particles.points.shape
        factors = torch.eye(k, dtype=torch.float64, device=particles.points.device)
        step = torch.full((n, 1, 1), FIRST_STEP).to(particles.points)
        return Kernel(factors.repeat(n, 1, 1, 1), step)

    def adapted(self, particles: Particles, b: float) -> "Kernel":
        """Fits the metric to the particles and their scores, as `Mixture.adapted` does."""
        factors = self.factors[:, 0]
        offset = (particles.points - particles.points.mean(1, keepdim=True)).to(factors)
        standard = torch.linalg.solve_triangular(factors, offset.mT, upper=False).mT
        pulls = particles.at.gradient(b).to(factors) @ factors
        change = geometric_mean(shrunk_scatter(standard), torch.linalg.inv(shrunk_scatter(pulls)))
        covariance = factors @ change @ factors.mT
        return replace(self, factors=torch.linalg.cholesky(covariance)[:, None])

    def adjusted(self, accepted: Tensor) -> "Kernel":
        """Lengthens or shortens the step after moves accepted with probability `(n, s)`."""
        change = (accepted.mean(1) - ACCEPTANCE).exp().view(-1, 1, 1)
        return replace(self, step=(self.step * change).clamp(SHORTEST_STEP, LONGEST_STEP))


def move(
    target: Target, particles: Particles, kernel: Kernel, b: float, generator: torch.Generator
) -> tuple[Particles, Kernel]:
    """Moves every particle by one trajectory that leaves `prior * likelihood^b` as it is."""
    like = particles.points
    momentum = torch.randn(like.shape, generator=generator).to(like)
    jitter = 1 + JITTER * (2 * torch.rand(*like.shape[:2], 1, generator=generator) - 1)

    def evaluate(points: Tensor) -> tuple[Evaluation, Tensor]:
        at = target.evaluate(points)
        return at, at.gradient(b)

    points, end, at = leapfrog(
        like,
        momentum,
        particles.at.gradient(b),
        factors=kernel.factors.to(like),
        step=kernel.step * jitter.to(like),
        steps=LEAPFROGS,
        evaluate=evaluate,
    )
    change = at.log_prob(b) - particles.at.log_prob(b)
    probability = acceptance(change - kinetic(end) + kinetic(momentum))
    uniform = torch.rand(probability.shape, generator=generator).to(probability)
    return particles.where(uniform < probability, points, at), kernel.adjusted(probability)


def _furthest(log_likelihood: Tensor, *, begin: float, least: float) -> float:
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
