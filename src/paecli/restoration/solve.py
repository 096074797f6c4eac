"""From a target to modes and draws: the methods, and how `auto` chooses among them."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor

from paecli.model.base_distribution import (
    GaussianMixture,
    StandardGaussian,
    standard_gaussian_log_prob,
)
from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.mixture import Mixture, build_mixture, cluster_mixture
from paecli.restoration.modes import (
    climb,
    climb_on,
    draw_starts,
    finish,
    gauss_newton,
    laplace_precision,
)
from paecli.restoration.samplers.draws import (
    PARETO_LIMIT,
    RHAT_LIMIT,
    Draws,
    draw_by_chains,
    draw_by_importance,
    draw_from_mixture,
    draw_from_prior,
    draw_modes,
)
from paecli.restoration.samplers.particles import take
from paecli.restoration.samplers.prior_pool import MOST_DRAWS, Pool, PriorPool
from paecli.restoration.samplers.settle import Begin, draw_by_tempering
from paecli.restoration.target import Target

Method = Literal["auto", "map", "laplace", "mixture", "is", "hmc", "smc"]
METHODS: tuple[Method, ...] = get_args(Method)
MOST_MODES = 6  # of draws
# latents; with more no draw of the prior comes near a posterior, and draws begin at modes
MOST_FROM_PRIOR = 64
STARTING_DRAWS = 1024  # of the prior, then, among which the searches choose their starts
STARTS_OF_HALF = 2  # of the search of either half
QUICK_ROUNDS, ROUNDS = 6, 24  # of tempering: `auto`, which must answer within seconds, and `smc`


@dataclass(frozen=True)
class Posterior:
    """What is known about the posterior of one image.

    Attributes:
        mixture: the modes, over base vectors.
        latent_mixture: the same over whitened latents.
        draws: the draws, as whitened latents.
        method: the method used; `prior` where nothing is observed.
        note: a sentence to pass on, or nothing.
    """

    mixture: Mixture
    latent_mixture: Mixture
    draws: Draws
    method: str
    note: str

    @property
    def passed(self) -> bool | None:
        """Whether the diagnostics are good; None for a method that has none."""
        passed = self.draws.passed(self.method)
        return None if passed is None else bool(passed)


def solve(
    base_target: Target,
    space: LatentSpace,
    *,
    method: Method,
    starts: int,
    pool: PriorPool,
    generator: torch.Generator,
    guesses: Tensor | None = None,
) -> Posterior:
    """Finds modes in base space, and draws whitened latents, for one image.

    Args:
        base_target: the posterior of one image over base vectors.
        space: whitened latents and their maps.
        method: `auto` runs a few rounds of `smc`.
        starts: starting points of the search for modes; `smc` searches from its own draws.
        pool: draws from the prior, for `smc`.
        generator: source of randomness.
        guesses: `(1, g, k)` good starting points as base vectors, or None.
    """
    target = space.target(base_target)
    if method in ("auto", "smc") and base_target.observed.any():
        rounds = QUICK_ROUNDS if method == "auto" else ROUNDS
        begin = beginning(base_target, space, guesses)
        draws = draw_by_tempering(target, pool, generator, rounds=rounds, begin=begin)
        mixture = modes_near(base_target, space.base_vectors(draws.points))
        latents = space.push_forward(base_target, mixture)
        return Posterior(mixture, latents, draws, "smc", doubt("smc", draws, method))
    mixture = find_modes(base_target, starts=starts, generator=generator, guesses=guesses)
    if method == "laplace":
        mixture = mixture.only_best()
    latents = space.push_forward(base_target, mixture)
    if not base_target.observed.any() and method != "map":
        draws = draw_from_prior(target, space, generator)
        return Posterior(mixture, latents, draws, "prior", NOTHING_OBSERVED)
    draws = _draw(target, latents, method, generator)
    return Posterior(mixture, latents, draws, method, doubt(method, draws, method))


NOTHING_OBSERVED = "no pixel is observed: drawn from the prior, as new images of the model are"


def doubt(method: str, draws: Draws, asked: Method) -> str:
    """Returns a sentence that says which diagnostic of a method failed; empty if none did.

    Args:
        method: the method used.
        draws: its draws of one image.
        asked: the method that was asked for.
    """
    passed = draws.passed(method)
    if passed is None or passed.all():
        return ""
    if method == "is":
        return (
            f"importance sampling cannot be relied on (Pareto k {draws.pareto_k.item():.2f}, "
            f"good below {PARETO_LIMIT}): use --method auto"
        )
    if method == "hmc":
        return (
            f"chains have not settled (R-hat {draws.rhat.item():.2f}, good up to {RHAT_LIMIT}): "
            "use --method auto or smc"
        )
    longer = "--method smc runs longer" if asked == "auto" else "another --seed tells how much"
    return (
        "two independent halves of the run do not agree well enough (mean images differ by "
        f"{draws.disagreement.item():.2f} posterior standard deviations, log evidences by "
        f"{draws.evidence_gap.item():.1f} nats, {draws.ancestors.item():.0f} ancestors left, worth "
        f"{draws.ess.item():.0f} independent draws): "
        f"{longer}"
    )


def _draw(target: Target, mixture: Mixture, method: Method, generator: torch.Generator) -> Draws:
    if method == "map":
        return draw_modes(target, mixture)
    if method == "is":
        return draw_by_importance(target, mixture, generator)
    if method == "hmc":
        return draw_by_chains(target, mixture, generator)
    return draw_from_mixture(target, mixture, generator)


def draws_needed(latent_size: int) -> int:
    """Returns how many draws of the prior a round of tempering needs at most."""
    return MOST_DRAWS if latent_size <= MOST_FROM_PRIOR else STARTING_DRAWS


def beginning(base_target: Target, space: LatentSpace, guesses: Tensor | None) -> Begin | None:
    """Returns how draws begin at modes; None where they begin at the prior. See `solve`."""
    if base_target.latent_size <= MOST_FROM_PRIOR:
        return None
    return partial(modes_of_halves, base_target, space, guesses)


def modes_of_halves(
    base_target: Target, space: LatentSpace, guesses: Tensor | None, part: Pool, index: int
) -> Mixture:
    """Finds modes for each of two halves, in whitened latents, by searches that share nothing.

    Each climbs from the likeliest of its own draws of the prior; a half whose search missed the
    best mode shows by its evidence.

    Args:
        base_target: the posterior over base vectors, of one image.
        space: whitened latents and their maps.
        guesses: `(1, g, k)` good starting points as base vectors, or None.
        part: draws of the prior for each half.
        index: number of the round; guesses serve the first half of the first one.
    """
    likeliest = part.log_likelihood.nan_to_num(nan=-torch.inf).topk(STARTS_OF_HALF).indices
    starts = space.base_vectors(take(part.points, likeliest))
    if guesses is not None and index == 0:
        starts[0, :1] = guesses[0, :1]
    halves = base_target.select(torch.zeros(len(starts), dtype=torch.long))
    mixture = build_mixture(*_finished(halves, starts))
    if isinstance(halves.base, GaussianMixture):
        mixture = _in_clusters(halves, halves.base, mixture)
    return space.push_forward(halves, mixture)


@torch.no_grad()
def _in_clusters(halves: Target, base: GaussianMixture, mixture: Mixture) -> Mixture:
    """Returns the posterior in each Gaussian of the base, linearised at each mode."""
    modes = mixture.means.to(halves.data)
    curvature, slope = gauss_newton(halves, modes)
    flat = modes.flatten(0, 1)
    level = halves.log_likelihood(halves.images(modes)).double()
    return cluster_mixture(
        base,
        modes.double(),
        level.masked_fill(mixture.log_weights == -torch.inf, -torch.inf),
        slope - base.gradient(flat).double().view(slope.shape),
        curvature - base.precision(flat).double().view(curvature.shape),
    )


def modes_near(base_target: Target, u: Tensor) -> Mixture:
    """Climbs from draws of the posterior and builds the Laplace mixture of the distinct modes.

    Args:
        base_target: the posterior over base vectors, of one image.
        u: `(1, s, k)` draws as base vectors.
    """
    near = climb_on(base_target, u)
    found = [_finished(base_target, near[:, :1])]
    mode, _, precision = found[0]
    # a Jacobian costs a pass for each latent: none for what the best mode's Gaussian holds
    offset = (near - mode).double()[0]
    squared = torch.einsum("sk,kl,sl->s", offset, precision[0, 0], offset)
    is_another = squared >= base_target.latent_size
    is_another[0] = False
    if is_another.any():  # together, since the flow takes as long for one as for eight
        found.append(_finished(base_target, near[:, is_another][:, : MOST_MODES - 1]))
    modes, levels, precisions = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
    return build_mixture(modes, levels, precisions)


def _finished(base_target: Target, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns modes near points `(n, s, k)`, their log posteriors and Laplace precisions."""
    modes, levels = finish(base_target, u)
    return modes, levels, laplace_precision(base_target, modes)


def find_modes(
    target: Target, *, starts: int, generator: torch.Generator, guesses: Tensor | None = None
) -> Mixture:
    """Climbs from many starts and builds the Laplace mixture of the distinct modes.

    Arguments as of `solve`; `target` is the posterior over base vectors, and so is the mixture.
    """
    first = draw_starts(target, count=starts, generator=generator, guesses=guesses)
    near = climb(target, first)
    if not isinstance(target.base, StandardGaussian):
        # each start stays in the cluster it began in; without clusters it finds the right one
        plain = replace(target, log_prior=standard_gaussian_log_prob)
        near = torch.cat((near, climb(plain, first)), dim=1)
    modes, log_posteriors = finish(target, near)
    return build_mixture(modes, log_posteriors, laplace_precision(target, modes))
