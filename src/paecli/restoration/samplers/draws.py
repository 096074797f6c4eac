"""Draws from the posterior by each of the methods, all of equal weight."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.mixture import Mixture
from paecli.restoration.samplers.chains import run_chains, start_chains, warm_up
from paecli.restoration.samplers.diagnostics import effective_sample_size, rhat
from paecli.restoration.samplers.importance import log_ratios, pareto_smooth
from paecli.restoration.samplers.particles import resample, take
from paecli.restoration.target import Target

KEPT = 256  # draws of an image that the answer is made of
PROPOSALS = 512  # of importance sampling
CHAINS = 8
FIRST_ROUND = 60  # steps; each further round makes the chains twice as long
ROUNDS = 5
RHAT_LIMIT = 1.05
PARETO_LIMIT = 0.7  # arXiv:1507.02646, section 3
DISAGREEMENT_LIMIT = 0.35  # of the mean images of two halves, in posterior standard deviations
EVIDENCE_LIMIT = 1.5  # nats
FEWEST_ANCESTORS = 12  # of a half; with 8, trusted answers were further off than the limit
# independent draws with which halves of as many differ by the limit in the mean
FEWEST_DRAWS = 4 / DISAGREEMENT_LIMIT**2


@dataclass(frozen=True)
class Draws:
    """Draws for each of `n` images, in the coordinates of the target they were made for.

    Attributes:
        points: `(n, s, k)`.
        gradient: `(n, s, k)` gradient of the log density that the draws follow.
        ess: `(n,)` effective sample size; for chains the smallest over the latents.
        pareto_k: `(n,)` shape of the tail of the importance ratios; NaN without any.
        rhat: `(n,)` largest R-hat over the latents; NaN without chains.
        disagreement: `(n,)` of two independent halves, see `Halves.disagreement`; NaN, like the
            next two, without tempering.
        evidence_gap: `(n,)` difference of their log evidences in nats.
        ancestors: `(n,)` surviving draws of the prior in the half with fewer.
    """

    points: Tensor
    gradient: Tensor
    ess: Tensor
    pareto_k: Tensor
    rhat: Tensor
    disagreement: Tensor
    evidence_gap: Tensor
    ancestors: Tensor

    def put(self, images: Tensor, others: "Draws") -> "Draws":
        """Returns these draws with those of some images, an index `(m,)`, replaced."""
        pairs = {
            field.name: (getattr(self, field.name), getattr(others, field.name))
            for field in fields(self)
        }
        return Draws(**{name: old.index_copy(0, images, new) for name, (old, new) in pairs.items()})

    def passed(self, method: str) -> Tensor | None:
        """Tells whose diagnostics are good, `(n,)`; NaN never is. None: the method has none."""
        if method == "is":
            return self.pareto_k < PARETO_LIMIT
        if method == "hmc":
            return self.rhat <= RHAT_LIMIT
        return self.halves_agree if method == "smc" else None

    @property
    def halves_agree(self) -> Tensor:
        """`(n,)`: whether two independent halves of the run tell the same."""
        same_mean = self.disagreement <= DISAGREEMENT_LIMIT
        same_evidence = self.evidence_gap <= EVIDENCE_LIMIT
        enough = (self.ancestors >= FEWEST_ANCESTORS) & (self.ess >= FEWEST_DRAWS)
        return same_mean & same_evidence & enough


def draw_modes(target: Target, mixture: Mixture) -> Draws:
    """Returns the best mode as the only draw: the method `map`."""
    points = mixture.only_best().means
    return make_draws(target, points, torch.zeros_like(points), ess=torch.ones(len(points)))


def draw_from_mixture(target: Target, mixture: Mixture, generator: torch.Generator) -> Draws:
    """Draws from the mixture itself: the methods `laplace` and `mixture`."""
    points = mixture.sample(KEPT, generator)
    ess = torch.full((len(points),), float(KEPT))
    return make_draws(target, points, mixture.gradient(points), ess=ess)


def draw_from_prior(target: Target, space: LatentSpace, generator: torch.Generator) -> Draws:
    """Draws from the flow itself: exact where nothing is observed.

    Args:
        target: of images without an observed pixel, over whitened latents.
        space: its latents.
        generator: source of randomness.
    """
    n, k = len(target.data), target.latent_size
    u = space.base.sample(n * KEPT, generator=generator).to(target.data)
    points = space.from_base(u).detach().view(n, KEPT, k)
    ess = torch.full((n,), float(KEPT))
    return make_draws(target, points, target.log_prob_and_gradient(points)[1], ess=ess)


def draw_by_importance(target: Target, mixture: Mixture, generator: torch.Generator) -> Draws:
    """Draws from a slightly wider mixture and resamples by smoothed importance ratios."""
    proposal = mixture.widened()
    points = proposal.sample(PROPOSALS, generator)
    smoothed = [pareto_smooth(each) for each in log_ratios(target, proposal, points)]
    weights = torch.stack([weights for weights, _ in smoothed])
    points = take(points, resample(weights.log(), KEPT, generator))
    _, gradient = target.log_prob_and_gradient(points.to(target.data))
    shapes = torch.tensor([shape for _, shape in smoothed])
    return make_draws(target, points, gradient, pareto_k=shapes, ess=1 / weights.square().sum(1))


def draw_by_chains(
    target: Target, mixture: Mixture, generator: torch.Generator, *, rounds: int = ROUNDS
) -> Draws:
    """Runs Hamiltonian Monte Carlo until the chains of each image agree, for some rounds."""
    chains = start_chains(target, mixture, chains=CHAINS, generator=generator)
    mixture, chains = warm_up(target, mixture, chains, generator)
    chains, points, gradient = run_chains(
        target, mixture, chains, steps=FIRST_ROUND, generator=generator
    )
    answer = _summarise(target, points, gradient)
    pending = torch.arange(len(target.data))
    for _ in range(1, rounds):
        apart = answer.rhat[pending] > RHAT_LIMIT
        pending, chains = pending[apart], chains.select(apart)
        if not len(pending):
            break
        chains, more_points, more_gradient = run_chains(
            target.select(pending),
            mixture.select(pending),
            chains,
            steps=len(points),
            generator=generator,
        )
        points = torch.cat((points[:, apart], more_points))
        gradient = torch.cat((gradient[:, apart], more_gradient))
        answer = answer.put(pending, _summarise(target, points, gradient))
    return answer


def _summarise(target: Target, points: Tensor, gradient: Tensor) -> Draws:
    """Diagnoses chains `(steps, n, c, k)` and thins them to `KEPT` draws of an image."""
    by_chain = points.transpose(1, 2)
    chosen = torch.linspace(0, points.shape[0] * points.shape[2] - 1, KEPT).round().long()
    pooled, pooled_gradient = (
        values.permute(1, 0, 2, 3).flatten(1, 2)[:, chosen] for values in (points, gradient)
    )
    ess = effective_sample_size(by_chain).amin(-1)
    return make_draws(target, pooled, pooled_gradient, rhat=rhat(by_chain).amax(-1), ess=ess)


def make_draws(
    target: Target, points: Tensor, gradient: Tensor, *, ess: Tensor, **diagnostics: Tensor
) -> Draws:
    """Returns draws `(n, s, k)` in the target's precision; diagnostics not given are NaN."""
    names = [each.name for each in fields(Draws)][3:]
    unknown = torch.full((len(points),), torch.nan)
    return Draws(
        points.to(target.data),
        gradient.to(target.data),
        ess.float(),
        **{name: diagnostics.get(name, unknown).float() for name in names},
    )
