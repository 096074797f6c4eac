"""Trajectories of Hamiltonian Monte Carlo (Neal, arXiv:1206.1901) in given units.

`u = F v` with a factor `F` of the covariance makes the density about round in `v`; in these
units a leapfrog step has one length for all directions.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

State = TypeVar("State")
Evaluate = Callable[[Tensor], tuple[State, Tensor]]


def leapfrog(
    u: Tensor,
    momentum: Tensor,
    gradient: Tensor,
    *,
    factors: Tensor,
    step: Tensor,
    steps: int,
    evaluate: Evaluate[State],
) -> tuple[Tensor, Tensor, State]:
    """Follows one trajectory for each point.

    Args:
        u: `(n, s, k)` points.
        momentum: `(n, s, k)` in the units of the factors.
        gradient: `(n, s, k)` gradient of the log density at the points.
        factors: `(n, s, k, k)` or `(n, 1, k, k)`.
        step: `(n, s, 1)` or `(n, 1, 1)` length of a step.
        steps: how many.
        evaluate: maps points to what is known of the density there, and its gradient.

    Returns:
        The last points, momenta, and what `evaluate` told of the last points.
    """
    momentum = momentum + 0.5 * step * _pull(factors, gradient)
    for index in range(steps):
        u = u + step * _push(factors, momentum)
        state, gradient = evaluate(u)
        half = 0.5 if index == steps - 1 else 1.0
        momentum = momentum + half * step * _pull(factors, gradient)
    return u, momentum, state


def rotate(
    u: Tensor,
    momentum: Tensor,
    *,
    centre: Tensor,
    factors: Tensor,
    angle: Tensor,
    steps: int,
    evaluate: Evaluate[State],
    force: Tensor,
) -> tuple[Tensor, Tensor, State]:
    """Follows one trajectory for each point, exactly where the density is `N(centre, F F')`.

    Between two kicks a point turns about the centre by an angle, and only what the force has beyond
    that of the Gaussian kicks (Shahbaba, Lan, Johnson & Neal, Statistics and Computing 24 (2014)
    339). Steps can be twice as long as those of `leapfrog`.

    Args:
        u: `(n, s, k)` points.
        momentum: `(n, s, k)` in the units of the factors.
        centre: `(n, 1, k)`.
        factors: `(n, k, k)` lower triangular.
        angle: `(n, s, 1)` of a step, in radians.
        steps: how many.
        evaluate: maps points to what is known of the density there, and the force.
        force: `(n, s, k)` at the points.

    Returns:
        The last points, momenta, and what `evaluate` told of the last points.
    """
    at = torch.linalg.solve_triangular(factors, (u - centre).mT, upper=False).mT
    cosine, sine = angle.cos(), angle.sin()
    momentum = momentum + 0.5 * angle * (force @ factors + at)
    for index in range(steps):
        at, momentum = at * cosine + momentum * sine, momentum * cosine - at * sine
        u = centre + at @ factors.mT
        state, force = evaluate(u)
        half = 0.5 if index == steps - 1 else 1.0
        momentum = momentum + half * angle * (force @ factors + at)
    return u, momentum, state


def acceptance(log_ratio: Tensor) -> Tensor:
    """Returns Metropolis' probability of acceptance; a ratio that is NaN is never accepted."""
    return log_ratio.nan_to_num(nan=-torch.inf).clamp_max(0).exp()


def kinetic(momentum: Tensor) -> Tensor:
    """Returns the kinetic energy of `(..., k)` momenta: `(...)`."""
    return 0.5 * momentum.square().sum(-1)


def _push(factors: Tensor, momentum: Tensor) -> Tensor:
    return (factors @ momentum.unsqueeze(-1)).squeeze(-1)


def _pull(factors: Tensor, gradient: Tensor) -> Tensor:
    """Returns the gradient in the units of the factors: `F' gradient`."""
    return (factors.mT @ gradient.unsqueeze(-1)).squeeze(-1)
