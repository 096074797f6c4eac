"""Draws by tempered Monte Carlo, which goes on until two independent halves agree."""

from dataclasses import dataclass, replace
from math import log

import torch
from torch import Tensor

from paecli.restoration.samplers.agreement import Halves
from paecli.restoration.samplers.draws import (
    KEPT,
    Draws,
    make_draws,
)
from paecli.restoration.samplers.particles import Particles, resample
from paecli.restoration.samplers.prior_pool import DRAWS, PriorPool
from paecli.restoration.samplers.tempering import Tempered, temper
from paecli.restoration.target import Target

POPULATIONS = 2  # independent halves
PARTS = 4  # of the pool; later rounds begin with them again, since each takes a second to make
PROLONGED = 2  # stages more at the posterior, while only that may be missing
TOGETHER = 128  # points whose gradients are taken at once
EVERY = 2  # of how many draws the gradient of one is taken; it costs two passes


@dataclass(frozen=True)
class Settled:
    """Draws of one image, and what is known of them beside.

    Attributes:
        draws: of `n = 1`.
        images: `(1, s, p)` decoded.
        log_likelihood: `(1, s)` in nats.
        rounds: how many were run.
    """

    draws: Draws
    images: Tensor
    log_likelihood: Tensor
    rounds: int


def draw_by_tempering(
    target: Target, pool: PriorPool, generator: torch.Generator, *, rounds: int, fewest: int = 1
) -> Settled:
    """Runs rounds of tempered Monte Carlo until the halves agree.

    Each round adds a population to either half, which weighs by its estimate of the evidence.

    Args:
        target: the posterior of one image over whitened latents.
        pool: draws of the prior for both halves, in `PARTS` that the rounds begin with in turn.
        generator: source of randomness.
        rounds: how many at most.
        fewest: how many at least.
    """
    twice = target.select(torch.zeros(POPULATIONS, dtype=torch.long))
    runs: list[Tempered] = []
    for index in range(rounds):
        part = pool.for_image(target, index % PARTS)
        runs.append(temper(twice, part, generator=generator))
        judged = _judge(target, runs)
        for _ in range(PROLONGED):
            if judged.halves_agree.all() or not judged.moves_may_help.all():
                break
            runs[-1] = runs[-1].prolonged(twice, generator)
            judged = _judge(target, runs)
        if judged.halves_agree.all() and len(runs) >= fewest:
            break
    return _settle(target, runs, judged, generator)


def _judge(target: Target, runs: list[Tempered]) -> Draws:
    """Returns the diagnostics of all runs, with no draw yet."""
    places = [each.visited for each in runs]
    ancestors = [index % PARTS * DRAWS + each.ancestor for index, each in enumerate(places)]
    images = torch.cat([target.wanted(each.images) for each in places], 1)
    halves = Halves(images, _log_weights(runs), torch.cat(ancestors, 1))
    none = places[0].points[:1, :0]
    return make_draws(
        target,
        none,
        none,
        ess=torch.tensor([halves.effective_size()]),
        disagreement=torch.tensor([halves.disagreement()]),
        evidence_gap=torch.tensor([halves.evidence_gap()]),
        ancestors=torch.tensor([float(halves.ancestors())]),
    )


def _log_weights(runs: list[Tempered]) -> Tensor:
    """Returns `(2, s)`: the evidence of each population, shared by its particles."""
    shared = []
    for run in runs:
        size = run.visited.points.shape[1]
        shared.append((run.log_evidence - log(size))[:, None].expand(POPULATIONS, size))
    return torch.cat(shared, 1)


def _settle(
    target: Target, runs: list[Tempered], judged: Draws, generator: torch.Generator
) -> Settled:
    """Draws `KEPT` of all particles by the evidence of their populations."""
    every = Particles.join([each.visited for each in runs]).as_one()
    kept = every.take(resample(_log_weights(runs).reshape(1, -1), KEPT, generator))
    controls = kept.take(torch.arange(0, KEPT, EVERY)[None].to(kept.ancestor.device))
    gradient = controls.prior_gradient + _likelihood_gradient(target, controls.points)
    draws = replace(judged, points=kept.points, gradient=gradient)
    return Settled(draws, kept.images, kept.log_likelihood, len(runs))


def _likelihood_gradient(target: Target, points: Tensor) -> Tensor:
    """Returns the gradient of the log likelihood at `(1, s, k)` points, of which some are equal."""
    different, which = points[0].unique(dim=0, return_inverse=True)
    parts = [target.likelihood_gradient(each[None])[0] for each in different.split(TOGETHER)]
    return torch.cat(parts)[which][None]
