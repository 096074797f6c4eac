"""From a target to modes and draws: the methods, and how `auto` chooses among them."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from paecli.model.base_distribution import StandardNormal, standard_normal_log_prob
from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.draws import (
    PARETO_LIMIT,
    RHAT_LIMIT,
    Draws,
    draw_by_chains,
    draw_by_importance,
    draw_from_mixture,
    draw_from_prior,
    draw_modes,
)
from paecli.restoration.laplace import precision
from paecli.restoration.mixture import Mixture, build_mixture
from paecli.restoration.modes import climb, draw_starts, finish
from paecli.restoration.target import Target

Method = Literal["auto", "map", "laplace", "mixture", "is", "hmc"]
QUICK_ROUNDS = 2  # of chains under `auto`, which must answer within seconds
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class Posterior:
    """What is known about the posteriors of `n` images.

    Attributes:
        mixture: the modes, over base vectors.
        latent_mixture: the same over whitened latents.
        draws: the draws, as whitened latents.
        methods: the method used for each image.
        notes: for each image a sentence to pass on, or nothing.
    """

    mixture: Mixture
    latent_mixture: Mixture
    draws: Draws
    methods: list[str]
    notes: list[str]


def solve(
    base: Target,
    space: LatentSpace,
    *,
    method: Method,
    starts: int,
    generator: torch.Generator,
    guesses: Tensor | None = None,
) -> Posterior:
    """Finds modes in base space, and draws whitened latents, for all images of a target.

    Args:
        base: the posterior over base vectors.
        space: whitened latents and their maps.
        method: `auto` tries importance sampling and falls back to Monte Carlo chains.
        starts: starting points of the search for modes.
        generator: source of randomness.
        guesses: `(n, g, k)` good starting points as base vectors, or None.
    """
    mixture = find_modes(base, starts=starts, generator=generator, guesses=guesses)
    if method == "laplace":
        mixture = mixture.only_best()
    target, latents = space.target(base), space.push_forward(base, mixture)
    n = len(target.data)
    methods, notes = [str(method)] * n, [""] * n
    if method == "auto":
        draws, methods, notes = _choose(target, latents, generator)
    elif method == "map":
        draws = draw_modes(target, latents)
    elif method == "is":
        draws = draw_by_importance(target, latents, generator)
    elif method == "hmc":
        draws = draw_by_chains(target, latents, generator)
    else:
        draws = draw_from_mixture(target, latents, generator)
    blank = (~base.observed.any(1)).nonzero().squeeze(1)
    if len(blank) and method != "map":
        draws = draws.put(blank, draw_from_prior(target.select(blank), space, generator))
        for index in blank.tolist():
            notes[index] = ""
    return Posterior(mixture, latents, draws, methods, notes)


def find_modes(
    target: Target, *, starts: int, generator: torch.Generator, guesses: Tensor | None = None
) -> Mixture:
    """Climbs from many starts and builds the Laplace mixture of the distinct modes.

    Arguments as of `solve`; `target` is the posterior over base vectors, and so is the mixture.
    """
    first = draw_starts(target, count=starts, generator=generator, guesses=guesses)
    near = climb(target, first)
    if not isinstance(target.base, StandardNormal):
        # each start stays in the cluster it began in; without clusters it finds the right one
        plain = replace(target, log_prior=standard_normal_log_prob)
        near = torch.cat((near, climb(plain, first)), dim=1)
    modes, log_posteriors = finish(target, near)
    return build_mixture(modes, log_posteriors, precision(target, modes))


def passed(draws: Draws) -> Tensor:
    """Tells for which images the diagnostics are good: `(n,)`; approximations pass always."""
    return ~((draws.pareto_k >= PARETO_LIMIT) | (draws.rhat > RHAT_LIMIT))


def _choose(
    target: Target, mixture: Mixture, generator: torch.Generator
) -> tuple[Draws, list[str], list[str]]:
    """Tries importance sampling, then chains; returns draws, methods and notes."""
    draws = draw_by_importance(target, mixture, generator)
    n = len(target.data)
    methods, notes = ["is"] * n, [""] * n
    failed = (~passed(draws)).nonzero().squeeze(1)
    if len(failed):
        shapes = draws.pareto_k
        chains = draw_by_chains(
            target.select(failed), mixture.select(failed), generator, rounds=QUICK_ROUNDS
        )
        draws = draws.put(failed, chains)
        for index in failed.tolist():
            methods[index] = "hmc"
            notes[index] = f"importance sampling failed (Pareto k {shapes[index]:.2f}), used chains"
            if draws.rhat[index] > RHAT_LIMIT:
                notes[index] += (
                    f", which have not settled (R-hat {draws.rhat[index]:.2f}): "
                    "--method hmc runs them longer"
                )
    return draws, methods, notes
