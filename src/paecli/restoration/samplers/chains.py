"""Hamiltonian Monte Carlo from many starts, with jumps between modes.

Each chain carries the index of a mixture component. Inside a component's own units
(Neal, "MCMC using Hamiltonian dynamics", arXiv:1206.1901, section 4.1) trajectories see a
posterior of about unit scale. A jump maps a chain from one component's ellipsoid onto
another's and is accepted with the ratio of densities, volumes and proposals (Tjelmeland & Hegstad,
Scandinavian Journal of Statistics 28 (2001) 205). Both leave the posterior invariant.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from paecli.restoration.mixture import Mixture
from paecli.restoration.samplers.hamiltonian import acceptance, kinetic, leapfrog
from paecli.restoration.samplers.importance import log_ratios
from paecli.restoration.target import Target

LEAPFROGS = 4
LONGEST_STEP = 0.5  # in component units; four of them go a third of a period
JITTER = 0.2  # relative spread of the step, against resonances
ACCEPTANCE = 0.8  # what the step size is adapted to
ADAPTATIONS, ADAPTATION_STEPS = 4, 10  # rounds of the warm-up and steps of each
JUMPS_EVERY = 4  # trajectories; a jump costs as much as a leapfrog step and is rarely accepted
CANDIDATES = 32  # draws from the mixture for each start


@dataclass(frozen=True)
class Chains:
    """State of `c` chains for each of `n` images, in the coordinates of their target.

    Attributes:
        u: `(n, c, k)` positions.
        log_prob: `(n, c)` log posterior there.
        gradient: `(n, c, k)` its gradient.
        component: `(n, c)` the component whose units the chain moves in.
        step: `(n, 1)` leapfrog step.
    """

    u: Tensor
    log_prob: Tensor
    gradient: Tensor
    component: Tensor
    step: Tensor

    def select(self, images: Tensor) -> "Chains":
        """Returns the chains of some of the images."""
        return Chains(
            self.u[images],
            self.log_prob[images],
            self.gradient[images],
            self.component[images],
            self.step[images],
        )


def start_chains(
    target: Target, mixture: Mixture, *, chains: int, generator: torch.Generator
) -> Chains:
    """Starts chains at the likelier ones of many draws from the mixture."""
    component = mixture.pick(chains * CANDIDATES, generator)
    shape = (*component.shape, target.latent_size)
    standard = torch.randn(shape, generator=generator).to(mixture.means)
    candidates = mixture.place(standard, component)
    weights = log_ratios(target, mixture, candidates).softmax(1)
    # a little of each, so that there are always enough; drawn where the generator is
    chosen = torch.multinomial((weights + 1e-9).cpu(), chains, generator=generator)
    chosen = chosen.to(weights.device)
    u = torch.take_along_dim(candidates, chosen.unsqueeze(-1), dim=1).to(target.data)
    log_prob, gradient = target.log_prob_and_gradient(u)
    step = torch.full((len(u), 1), LONGEST_STEP / 2).to(target.data)
    return Chains(u, log_prob, gradient, component.gather(1, chosen), step)


def warm_up(
    target: Target, mixture: Mixture, chains: Chains, generator: torch.Generator
) -> tuple[Mixture, Chains]:
    """Adapts step sizes and the components' shapes; the draws of this time do not count.

    Returns:
        The mixture whose units the chains go on in, and the chains.
    """
    for _ in range(ADAPTATIONS):
        visited: list[Chains] = []
        for index in range(ADAPTATION_STEPS):
            chains, acceptance = _trajectory(target, mixture, chains, generator)
            gain = 2.0 * (index + 1) ** -0.6
            change = (gain * (acceptance - ACCEPTANCE)).exp()
            chains = replace(chains, step=(chains.step * change).clamp(1e-4, LONGEST_STEP))
            if index % JUMPS_EVERY == 0:
                chains = _jump(target, mixture, chains, generator)
            visited.append(chains)
        settled = visited[ADAPTATION_STEPS // 3 :]
        mixture = mixture.adapted(
            torch.cat([each.u for each in settled], 1),
            torch.cat([each.gradient for each in settled], 1),
            torch.cat([each.component for each in settled], 1),
        )
    return mixture, chains


def run_chains(
    target: Target, mixture: Mixture, chains: Chains, *, steps: int, generator: torch.Generator
) -> tuple[Chains, Tensor, Tensor]:
    """Runs chains without adapting anything.

    Returns:
        The last state, and draws and gradients `(steps, n, c, k)`.
    """
    draws, gradients = [], []
    for index in range(steps):
        chains, _ = _trajectory(target, mixture, chains, generator)
        if index % JUMPS_EVERY == 0:
            chains = _jump(target, mixture, chains, generator)
        draws.append(chains.u)
        gradients.append(chains.gradient)
    return chains, torch.stack(draws), torch.stack(gradients)


def _trajectory(
    target: Target, mixture: Mixture, chains: Chains, generator: torch.Generator
) -> tuple[Chains, Tensor]:
    """Runs one trajectory; returns the chains and each image's mean acceptance `(n, 1)`."""
    momentum = torch.randn(chains.u.shape, generator=generator).to(chains.u)
    jitter = 1 + JITTER * (2 * torch.rand(1, generator=generator).item() - 1)

    def evaluate(u: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        log_prob, gradient = target.log_prob_and_gradient(u)
        return (log_prob, gradient), gradient

    u, end, (log_prob, gradient) = leapfrog(
        chains.u,
        momentum,
        chains.gradient,
        factors=mixture.factors_of(chains.component).to(chains.u),
        step=(chains.step * jitter).unsqueeze(-1),
        steps=LEAPFROGS,
        evaluate=evaluate,
    )
    probability = acceptance(log_prob - chains.log_prob - kinetic(end) + kinetic(momentum))
    accepted = torch.rand(probability.shape, generator=generator).to(probability) < probability
    moved = replace(chains, u=u, log_prob=log_prob, gradient=gradient)
    return _where(accepted, moved, chains), probability.mean(1, keepdim=True)


def _jump(target: Target, mixture: Mixture, chains: Chains, generator: torch.Generator) -> Chains:
    """Proposes to carry every chain to a component drawn by weight."""
    if mixture.means.shape[1] == 1:
        return chains
    n, c, _ = chains.u.shape
    weights = mixture.weights.cpu()  # where the generator is
    component = torch.multinomial(weights, c, replacement=True, generator=generator)
    component = component.to(chains.component)
    standard = mixture.standardise_in(chains.u, chains.component)
    u = mixture.place(standard, component).to(chains.u)
    log_prob, gradient = target.log_prob_and_gradient(u)
    # a chain seldom leaves its component's mode otherwise, so the shares of the modes are right
    # only if there and back balance between the modes alone: hence the weights of the proposal
    levels = mixture.log_volumes() - mixture.log_weights
    growth = levels.gather(1, component) - levels.gather(1, chains.component)
    log_ratio = log_prob - chains.log_prob + growth
    uniform = torch.rand(n, c, generator=generator).to(chains.u)
    accepted = uniform.log() < log_ratio.nan_to_num(nan=-torch.inf)
    return _where(accepted, Chains(u, log_prob, gradient, component, chains.step), chains)


def _where(accepted: Tensor, new: Chains, old: Chains) -> Chains:
    wide = accepted.unsqueeze(-1)
    return Chains(
        u=torch.where(wide, new.u, old.u),
        log_prob=torch.where(accepted, new.log_prob, old.log_prob),
        gradient=torch.where(wide, new.gradient, old.gradient),
        component=torch.where(accepted, new.component, old.component),
        step=old.step,
    )
