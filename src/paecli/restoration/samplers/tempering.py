"""Tempered sequential Monte Carlo: particles are carried from the prior to the posterior.

Del Moral, Doucet & Jasra, "Sequential Monte Carlo samplers", Journal of the Royal Statistical
Society B 68 (2006) 411. The densities on the way are `prior * likelihood^b`. A large pool of
draws from the prior, which all images share, is reweighted to the first `b`; from there each
stage goes as far as the weights allow, resamples, and moves particles by Hamiltonian Monte Carlo,
whose forces come from the prior and an emulator of the decoder: one pass forward is all a
trajectory costs. Beginning at the prior rather than at modes that were found, no reading is left
out because no search came upon it.

With many latents no draw of the prior comes near the posterior, and the way is too long. Then it
begins at Gaussians about modes, `start^(1 - b) (prior * likelihood)^b`.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from paecli.restoration.mixture import Mixture, geometric_mean, shrunk_scatter
from paecli.restoration.samplers.emulator import MOST_KNOWN, Emulator, Seen, fit_emulator
from paecli.restoration.samplers.hamiltonian import acceptance, kinetic, rotate
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

Level = tuple[Tensor, Tensor]  # a log density at points, and its gradient

DRAWN = 2  # draws from modes for each particle
KEPT_WEIGHT = 0.5  # effective share of the particles after a stage's reweighting
STEPS = 3  # of a trajectory
# how often a particle moves in a stage, on average: the first has to mix what the pool gave
FIRST_MOVED, LEAST_MOVED, MOST_MOVES = 1.2, 0.4, 4
LAST_SEEN = 4  # moves that an emulator is fitted to
FIRST_STEP, SHORTEST_STEP, LONGEST_STEP = 0.3, 0.02, 1.2  # radians
JITTER = 0.2  # relative spread of the step, against resonances
# what the step size is adapted to, were the emulator the truth, and as it is
ACCEPTANCE, LEAST_ACCEPTANCE = 0.75, 0.4
RATE = 2.0  # of that adaptation
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


@dataclass(frozen=True)
class Way:
    """What particles are carried along.

    Attributes:
        target: the posterior of one image, once for each population.
        start: Gaussians that the populations began at; None: the prior.
        seen: what is known so far, which grows.
    """

    target: Target
    start: Mixture | None
    seen: list[Seen]


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
    particles = place(target, take(pool.points, chosen), take(pool.images, chosen), chosen)
    way = Way(target, None, [_likeliest(target, pool)])
    return _follow(way, particles, Kernel.begin(particles), b, log_evidence, generator)


def temper_from_modes(
    target: Target, mixture: Mixture, *, size: int, generator: torch.Generator
) -> Tempered:
    """Carries populations of particles from Gaussians at modes to the posterior of an image.

    Args:
        target: the posterior of one image over whitened latents, once for each population.
        mixture: of each population.
        size: particles of a population.
        generator: source of randomness.
    """
    start = mixture.widened()
    points = start.sample(DRAWN * size, generator).to(target.data)
    with torch.no_grad(), fitting("images of particles", points.shape[0] * points.shape[1]):
        images = target.images(points)
    index = torch.arange(points.shape[1], device=points.device).expand(len(points), -1)
    drawn = place(target, points, images, index, start)
    b = _furthest(drawn.gain, begin=0.0, least=size)
    growth = b * drawn.gain.double()
    particles = drawn.take(resample(growth, size, generator))
    way = Way(target, start, [_see(target, drawn, 0.0)])
    kernel = Kernel(start.only_best().factors[:, 0], Kernel.begin(particles).step)
    return _follow(way, particles, kernel, b, log_mean_exp(growth), generator)


def _follow(
    way: Way,
    particles: Particles,
    kernel: "Kernel",
    b: float,
    log_evidence: Tensor,
    generator: torch.Generator,
) -> Tempered:
    """Moves particles that follow the density at temper `b`, and raises it until it is 1."""
    size = particles.points.shape[1]
    tempers = [b]
    while True:
        least = FIRST_MOVED if len(tempers) == 1 else LEAST_MOVED
        particles, kernel = stir(way, particles, kernel, b, least, generator)
        if b >= 1 or len(tempers) == MOST_STAGES:
            break
        further = _furthest(particles.gain, begin=b, least=KEPT_WEIGHT * size)
        growth = (further - b) * particles.gain.double()
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
        factors: `(n, k, k)` lower Cholesky factors of the metric, in float64.
        step: `(n, 1, 1)` angle of a step, in radians.
    """

    factors: Tensor
    step: Tensor

    @staticmethod
    def begin(particles: Particles) -> "Kernel":
        """Returns the kernel of whitened latents as they are."""
        n, _, k = particles.points.shape
        factors = torch.eye(k, dtype=torch.float64, device=particles.points.device)
        step = torch.full((n, 1, 1), FIRST_STEP).to(particles.points)
        return Kernel(factors.repeat(n, 1, 1), step)

    def shared_factor(self) -> Tensor:
        """Returns the Cholesky factor `(k, k)` of the populations' mean covariance."""
        factor: Tensor = torch.linalg.cholesky((self.factors @ self.factors.mT).mean(0))
        return factor

    def adapted(self, particles: Particles, emulator: Emulator, b: float) -> "Kernel":
        """Fits the metric to the particles and their gradients, as `Mixture.adapted` does."""
        factors = self.factors
        offset = (particles.points - particles.points.mean(1, keepdim=True)).to(factors)
        standard = torch.linalg.solve_triangular(factors, offset.mT, upper=False).mT
        gradient = particles.force(b, emulator.gradient(particles.points))
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
        return replace(self, step=step)


@torch.no_grad()
def place(
    target: Target,
    points: Tensor,
    images: Tensor,
    ancestor: Tensor,
    start: Mixture | None = None,
) -> Particles:
    """Returns particles at points `(n, s, k)` with images `(n, s, p)` and ancestors `(n, s)`."""
    prior = target.prior_gradient(points)
    begun = _level(start, points, prior)
    return Particles(points, images, target.log_likelihood(images), *prior, *begun, ancestor)


def _level(start: Mixture | None, points: Tensor, prior: Level) -> Level:
    """Returns the log density of the start and its gradient at points whose prior is known."""
    if start is None:
        return prior
    return start.log_prob(points).to(points), start.gradient(points).to(points)


def stir(
    way: Way,
    particles: Particles,
    kernel: Kernel,
    b: float,
    least: float,
    generator: torch.Generator,
) -> tuple[Particles, Kernel]:
    """Moves particles until each has moved `least` times on average, and adds to what is seen."""
    moved = 0.0
    for _ in range(MOST_MOVES):
        emulator = fit_emulator(way.seen[-LAST_SEEN:], b, kernel.shared_factor())
        kernel = kernel.adapted(particles, emulator, b)
        before = particles.points
        particles, tried, kernel = move(way, particles, kernel, emulator, b, generator)
        way.seen.append(_see(way.target, tried, b))
        moved += float((particles.points != before).any(-1).float().mean())
        if moved >= least:
            break
    return particles, kernel


def move(
    way: Way,
    particles: Particles,
    kernel: Kernel,
    emulator: Emulator,
    b: float,
    generator: torch.Generator,
) -> tuple[Particles, Particles, Kernel]:
    """Moves every particle by one trajectory that leaves the density at temper `b` as it is.

    Returns:
        The particles, where their trajectories ended, and the kernel for the next move.
    """
    target, like = way.target, particles.points
    momentum = torch.randn(like.shape, generator=generator).to(like)
    jitter = 1 + JITTER * (2 * torch.rand(*like.shape[:2], 1, generator=generator) - 1)

    def evaluate(points: Tensor) -> tuple[tuple[Level, Level], Tensor]:
        prior = target.prior_gradient(points)
        begun = _level(way.start, points, prior)
        beyond = (prior[1] - begun[1]) + emulator.gradient(points)
        return (prior, begun), begun[1] + b * beyond

    points, end, (prior, begun) = rotate(
        like,
        momentum,
        centre=like.mean(1, keepdim=True),
        factors=kernel.factors.to(like),
        angle=kernel.step * jitter.to(like),
        steps=STEPS,
        evaluate=evaluate,
        force=particles.force(b, emulator.gradient(like)),
    )
    with torch.no_grad(), fitting("images of particles", points.shape[0] * points.shape[1]):
        images = target.images(points)
        at = (target.log_likelihood(images), *prior, *begun)
        tried = Particles(points, images, *at, particles.ancestor)
    change = tried.log_prob(b) - particles.log_prob(b)
    probability = acceptance(change - kinetic(end) + kinetic(momentum))
    uniform = torch.rand(probability.shape, generator=generator).to(probability)
    moved = particles.moved(uniform < probability, tried)
    # the step answers for the error of the trajectory, not for that of the emulator
    change = tried.log_start + b * tried.with_likelihood(emulator.log_likelihood(points))
    gain = particles.with_likelihood(emulator.log_likelihood(like))
    change = change - particles.log_start - b * gain
    followed = acceptance(change - kinetic(end) + kinetic(momentum))
    return moved, tried, kernel.adjusted(followed, probability)


def _likeliest(target: Target, pool: Pool) -> Seen:
    """Returns the draws of the pool that matter most to a first fit."""
    values = pool.log_likelihood.flatten().nan_to_num(nan=-torch.inf)
    index = values.topk(min(MOST_KNOWN, len(values))).indices
    points, images = (each.flatten(0, 1)[index] for each in (pool.points, pool.images))
    return Seen(0.0, points, _misfit(target, images), values[index])


def _see(target: Target, particles: Particles, b: float) -> Seen:
    points, images, gain = (
        each.flatten(0, 1) for each in (particles.points, particles.images, particles.gain)
    )
    return Seen(b, points, _misfit(target, images), gain)


def _misfit(target: Target, images: Tensor) -> Tensor:
    """Returns the misfit `(m, q)` of the observed values of images `(m, p)`."""
    one = target.select(torch.zeros(1, dtype=torch.long))
    return one.misfit(images[None])[0][:, one.observed[0]]


def _furthest(gain: Tensor, *, begin: float, least: float) -> float:
    """Returns the largest temper up to 1 at which every population keeps an effective size.

    Args:
        gain: `(n, s)` of particles that follow the density at temper `begin`.
        begin: the temper they follow.
        least: the effective size that must be left.
    """
    values = gain.double()

    def enough(b: float) -> bool:
        return bool((effective_size((b - begin) * values) >= least).all())

    if enough(1.0):
        return 1.0
    low, high = begin, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if enough(middle) else (low, middle)
    return high
