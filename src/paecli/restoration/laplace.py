"""Gaussian approximation of the posterior over base vectors about a mode."""

from typing import Literal

import torch
from torch import Tensor

from paecli.restoration.modes import gauss_newton
from paecli.restoration.target import Target

Curvature = Literal["gauss-newton", "hessian"]

LEAST_PRECISION = 0.25  # no direction is wider than twice the prior


def precision(target: Target, u: Tensor, *, curvature: Curvature = "gauss-newton") -> Tensor:
    """Returns the precision of the Laplace approximation, positive definite in any case.

    Args:
        target: the posterior.
        u: modes `(n, s, k)`.
        curvature: `gauss-newton` (first derivatives only, at least the prior's precision)
            or `hessian` (the true second derivative; eigenvalues below 0.25 are raised).

    Returns:
        `(n, s, k, k)` in float64.
    """
    if curvature == "gauss-newton":
        return gauss_newton(target, u)[0]
    values, vectors = torch.linalg.eigh(hessian(target, u))
    raised = values.clamp_min(LEAST_PRECISION).unsqueeze(-2)
    guarded: Tensor = vectors * raised @ vectors.transpose(-1, -2)
    return guarded


def hessian(target: Target, u: Tensor) -> Tensor:
    """Returns minus the second derivative of the log posterior: `(n, s, k, k)` in float64.

    Args:
        target: the posterior over base vectors.
        u: points `(n, s, k)`.
    """

    def energy(point: Tensor, data: Tensor, weight: Tensor) -> Tensor:
        misfit = target.generate(point[None]).flatten() - data
        prior = target.base.log_prob(point[None]).squeeze()
        return 0.5 * (weight * misfit.square()).sum() - prior

    second = torch.func.hessian(energy)
    of_points = torch.vmap(second, in_dims=(0, None, None))
    values: Tensor = torch.vmap(of_points)(u, target.data, target.precision)
    return 0.5 * (values + values.transpose(-1, -2)).double()


def cholesky_of_inverse(precision: Tensor) -> Tensor:
    """Returns the lower Cholesky factor of the inverse of `(..., k, k)` matrices."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(precision))
    factor: Tensor = torch.linalg.cholesky(inverse)
    return factor
