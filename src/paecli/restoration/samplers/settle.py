"""Draws by tempered Monte Carlo, which goes on until two independent halves agree."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from paecli.restoration.mixture import Mixture
from paecli.restoration.samplers.agreement import Halves
from paecli.restoration.samplers.draws import KEPT, Draws, make_draws
from paecli.restoration.samplers.particles import resample
from paecli.restoration.samplers.prior_pool import MOST_DRAWS, ROWS, Pool, PriorPool
from paecli.restoration.samplers.tempering import Tempered, temper, temper_from_modes
from paecli.restoration.target import Target

POPULATIONS = 2  # independent halves
PARTICLES = 96  # of a half in one round
FROM_MODES = 128  # the same where the way begins at modes
PARTS = 4  # of the pool; later rounds begin with them again, since each takes seconds to decode

Begin = Callable[[Pool, int], Mixture]  # draws of the prior and the round's number to modes


def draw_by_tempering(
    target: Target,
    pool: PriorPool,
    generator: torch.Generator,
    *,
    rounds: int,
    fewest: int = 1,
    begin: Begin | None = None,
) -> Draws:
    """Runs rounds of tempered Monte Carlo until the halves agree.

    Each round adds a population to either half, which weighs by its estimate of the evidence.

    Args:
        target: the posterior of one image over whitened latents.
        pool: draws of the prior for both halves, in `PARTS` that the rounds begin with in turn.
        generator: source of randomness.
        rounds: how many at most.
        fewest: how many also where the halves agree sooner.
        begin: finds modes for each half, from draws of its own; None: begin at the prior.
    """
    twice = target.select(torch.zeros(POPULATIONS, dtype=torch.long))
    runs: list[Tempered] = []
    images: list[Tensor] = []
    for index in range(rounds):
        part = pool.for_image(target, index % PARTS)
        modes = None if begin is None else begin(part, index)
        runs.append(_round(twice, part, modes, index, generator))
        images.append(twice.wanted(runs[-1].particles.images))
        halves = _halves(runs, images)
        draws = _summarise(target, runs, halves, generator)
        if index + 1 >= fewest and draws.halves_agree.all():
            break
    return replace(draws, gradient=_exact_gradient(target, draws.points))


def _round(
    twice: Target, part: Pool, modes: Mixture | None, index: int, generator: torch.Generator
) -> Tempered:
    """Runs a round; ancestors are numbered so that those of other draws differ."""
    if modes is None:
        run = temper(twice, part, size=PARTICLES, generator=generator)
        first = index % PARTS * MOST_DRAWS
    else:
        run = temper_from_modes(twice, modes, size=FROM_MODES, generator=generator)
        first = index * MOST_DRAWS
    particles = replace(run.particles, ancestor=run.particles.ancestor + first)
    return replace(run, particles=particles)


def _exact_gradient(target: Target, points: Tensor) -> Tensor:
    """Returns the gradient of the log posterior at `(1, s, k)` points, of which many are equal."""
    different, which = points[0].unique(dim=0, return_inverse=True)
    parts = [target.log_prob_and_gradient(each[None])[1][0] for each in different.split(ROWS)]
    return torch.cat(parts)[which][None]


def _halves(runs: list[Tempered], images: list[Tensor]) -> Halves:
    ancestors = [each.particles.ancestor for each in runs]
    weights = [each.log_evidence[:, None].expand_as(each.particles.ancestor) for each in runs]
    return Halves(torch.cat(images, 1), torch.cat(weights, 1), torch.cat(ancestors, 1))


def _summarise(
    target: Target, runs: list[Tempered], halves: Halves, generator: torch.Generator
) -> Draws:
    """Draws `KEPT` of all particles by the evidence of their populations; gradients are 0 yet."""
    points = torch.cat([each.particles.points for each in runs], 1).flatten(0, 1)
    chosen = resample(halves.log_weights.reshape(1, -1), KEPT, generator)[0]
    return make_draws(
        target,
        points[None, chosen],
        torch.zeros_like(points[None, chosen]),
        ess=torch.tensor([halves.effective_size()]),
        disagreement=torch.tensor([halves.disagreement()]),
        evidence_gap=torch.tensor([halves.evidence_gap()]),
        ancestors=torch.tensor([float(halves.ancestors())]),
    )
