"""Tempered sequential Monte Carlo: particles are carried from the prior to the posterior.

Del Moral, Doucet & Jasra, "Sequential Monte Carlo samplers", Journal of the Royal Statistical
Society B 68 (2006) 411. The densities on the way are `prior * likelihood^b`. A large pool of
draws from the prior, which all images share, is reweighted to the first `b`; from there each
stage goes as far as the weights allow, resamples, and moves particles by Hamiltonian Monte Carlo,
whose forces come from the prior and an emulator of the decoder: one pass forward is all a
trajectory costs. Every place that a particle comes to within a stage is a particle of that stage,
so that none of these passes is wasted (Dau & Chopin, "Waste-free sequential Monte Carlo", Journal
of the Royal Statistical Society B 84 (2022) 114). Beginning at the prior rather than at modes that
were found, no reading is left out because no search came upon it.
"""

from dataclasses import dataclass, replace
from math import log2

import torch
from torch import Tensor

from paecli.restoration.mixture import geometric_mean, shrunk_scatter
from paecli.restoration.samplers.beginning import begin, first_guess, furthest, see
from paecli.restoration.samplers.emulator import Emulator, Seen, fit_emulator
from paecli.restoration.samplers.hamiltonian import acceptance, kinetic, rotate
from paecli.restoration.samplers.particles import (
    Particles,
    log_mean_exp,
    resample,
)
from paecli.restoration.samplers.prior_pool import Pool
from paecli.restoration.target import Target
from paecli.system.threads import fitting

STEPS = 2  # of a trajectory
MOVES = 2  # of a stage
FEWEST, MOST = 64, 160  # particles of a population
SHARED_OUT = 600  # particles of all stages together, as far as their number can be foreseen
LAST_SEEN = 8  # moves that an emulator is fitted to
FIRST_STEP, SHORTEST_STEP, LONGEST_STEP = 0.3, 0.02, 1.2  # radians
WORTHWHILE_STEP = 0.1  # below it the forces of the decoder itself are worth their price
JITTER = 0.2  # relative spread of the step, against resonances
# what the step size is adapted to, were the emulator the truth, and as it is
ACCEPTANCE, LEAST_ACCEPTANCE = 0.75, 0.4
RATE = 2.0  # of that adaptation
MOST_STAGES = 60


@dataclass(frozen=True)
class Tempered:
    """Where the particles have come to.

    Attributes:
        visited: `n` populations: all places within the last stage, equally weighted.
        last: where the particles are now.
        kernel: by which they move on.
        seen: what was decoded lately.
        log_evidence: `(n,)` estimates of `log p(d)` in nats, one by each population; NaN when
            the posterior was not reached within `MOST_STAGES`.
        tempers: `b` of every stage.
    """

    visited: Particles
    last: Particles
    kernel: "Kernel"
    seen: tuple[Seen, ...]
    log_evidence: Tensor
    tempers: tuple[float, ...]

    def prolonged(self, target: Target, generator: torch.Generator) -> "Tempered":
        """Returns the run with the moves of one stage more, at the temper it has come to."""
        seen = list(self.seen)
        b = self.tempers[-1]
        ways, kernel = stir(target, self.last, self.kernel, seen, b, generator)
        visited = Particles.join([self.visited, *ways])
        return replace(self, visited=visited, last=ways[-1], kernel=kernel, seen=tuple(seen))


def temper(
    target: Target, pool: Pool, *, generator: torch.Generator, size: int | None = None
) -> Tempered:
    """Carries populations of particles from a pool of prior draws to the posterior of an image.

    Args:
        target: the posterior of one image over whitened latents, once for each population.
        pool: draws of the prior for each population.
        generator: source of randomness.
        size: particles of a population; None: more of them where the way is short.
    """
    about = first_guess(pool)
    size = size or min(MOST, max(FEWEST, round(SHARED_OUT / (1 - log2(about)))))
    particles, log_evidence, b, first = begin(target, pool, about, size=size, generator=generator)
    kernel, seen, tempers = Kernel.begin(particles), [first], [b]
    while True:
        ways, kernel = stir(target, particles, kernel, seen, b, generator)
        visited, last = Particles.join([particles, *ways]), ways[-1]
        if b >= 1 or len(tempers) == MOST_STAGES:
            break
        further = furthest(visited.log_likelihood, begin=b, least=size)
        growth = (further - b) * visited.log_likelihood.double()
        log_evidence = log_evidence + log_mean_exp(growth)
        particles = visited.take(resample(growth, size, generator))
        b = further
        tempers.append(b)
    reached = log_evidence if b >= 1 else torch.full_like(log_evidence, torch.nan)
    return Tempered(visited, last, kernel, tuple(seen), reached, tuple(tempers))


@dataclass(frozen=True)
class Kernel:
    """How particles of `n` populations are moved.

    Attributes:
        factors: `(n, k, k)` lower Cholesky factors of the metric, in float64.
        step: `(n, 1, 1)` angle of a step, in radians.
        is_exact: whether forces come from the decoder itself.
    """

    factors: Tensor
    step: Tensor
    is_exact: bool = False

    @staticmethod
    def begin(particles: Particles) -> "Kernel":
        """Returns the kernel of whitened latents as they are."""
        n, _, k = particles.points.shape
        factors = torch.eye(k, dtype=torch.float64, device=particles.points.device)
        step = torch.full((n, 1, 1), FIRST_STEP).to(particles.points)
        return Kernel(factors.repeat(n, 1, 1), step)

    def adapted(self, particles: Particles, emulator: Emulator, b: float) -> "Kernel":
        """Fits the metric to the particles and their gradients, as `Mixture.adapted` does."""
        factors = self.factors
        offset = (particles.points - particles.points.mean(1, keepdim=True)).to(factors)
        standard = torch.linalg.solve_triangular(factors, offset.mT, upper=False).mT
        gradient = particles.prior_gradient + b * emulator.gradient(particles.points)
        pulls = gradient.to(factors) @ factors
        change = geometric_mean(shrunk_scatter(standard), torch.linalg.inv(shrunk_scatter(pulls)))
        covariance = factors @ change @ factors.mT
        return replace(self, factors=torch.linalg.cholesky(covariance))

    def adjusted(self, followed: Tensor, accepted: Tensor) -> "Kernel":
        """Lengthens or shortens the step after a move.

        Args:
            followed: `(n, s)` probabilities of acceptance, were the emulator the truth.
            accepted: `(n, s)` probabilities of acceptance.
        """
        followed, accepted = followed.mean(1) - ACCEPTANCE, accepted.mean(1) - LEAST_ACCEPTANCE
        change = (RATE * torch.minimum(followed, accepted)).exp().view(-1, 1, 1)
        step = (self.step * change).clamp(SHORTEST_STEP, LONGEST_STEP)
        if self.is_exact or step.mean() >= WORTHWHILE_STEP:
            return replace(self, step=step)
        # an emulator that is right over so short a way only is no help
        return replace(self, step=torch.full_like(step, FIRST_STEP), is_exact=True)


def stir(
    target: Target,
    particles: Particles,
    kernel: Kernel,
    seen: list[Seen],
    b: float,
    generator: torch.Generator,
) -> tuple[list[Particles], Kernel]:
    """Moves particles `MOVES` times, adds to what is seen, and returns where they were."""
    ways = []
    for _ in range(MOVES):
        emulator = fit_emulator(seen[-LAST_SEEN:], b)
        kernel = kernel.adapted(particles, emulator, b)
        particles, tried, kernel = move(target, particles, kernel, emulator, b, generator)
        seen.append(see(target, tried, b))
        ways.append(particles)
    return ways, kernel


def move(
    target: Target,
    particles: Particles,
    kernel: Kernel,
    emulator: Emulator,
    b: float,
    generator: torch.Generator,
) -> tuple[Particles, Particles, Kernel]:
    """Moves every particle by one trajectory that leaves `prior * likelihood^b` as it is.

    Returns:
        The particles, where their trajectories ended, and the kernel for the next move.
    """
    like = particles.points
    momentum = torch.randn(like.shape, generator=generator).to(like)
    jitter = 1 + JITTER * (2 * torch.rand(*like.shape[:2], 1, generator=generator) - 1)

    def pull(points: Tensor) -> Tensor:
        if kernel.is_exact:
            return target.likelihood_gradient(points)
        return emulator.gradient(points)

    def evaluate(points: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        log_prior, gradient = target.prior_gradient(points)
        return (log_prior, gradient), gradient + b * pull(points)

    points, end, (log_prior, prior_gradient) = rotate(
        like,
        momentum,
        centre=like.mean(1, keepdim=True),
        factors=kernel.factors.to(like),
        angle=kernel.step * jitter.to(like),
        steps=STEPS,
        evaluate=evaluate,
        score=particles.prior_gradient + b * pull(like),
    )
    with torch.no_grad(), fitting("images of particles", points.shape[0] * points.shape[1]):
        images = target.images(points)
        at = (target.log_likelihood(images), log_prior, prior_gradient)
        tried = Particles(points, images, *at, particles.ancestor)
    change = tried.log_prob(b) - particles.log_prob(b)
    probability = acceptance(change - kinetic(end) + kinetic(momentum))
    uniform = torch.rand(probability.shape, generator=generator).to(probability)
    moved = particles.moved(uniform < probability, tried)
    if kernel.is_exact:
        return moved, tried, kernel.adjusted(probability, probability)
    # the step answers for the error of the trajectory, not for that of the emulator
    change = tried.log_prior + b * emulator.log_likelihood(points)
    change = change - particles.log_prior - b * emulator.log_likelihood(like)
    followed = acceptance(change - kinetic(end) + kinetic(momentum))
    return moved, tried, kernel.adjusted(followed, probability)
