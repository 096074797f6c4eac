"""Modes: many starts of many images climb at once; Laplace gives each mode its shape.

All of it is over base vectors: starts, bounds and curvatures come from the flow's base.
Tempered Adam brings the starts near modes; Levenberg-Marquardt steps finish there.
"""

from math import sqrt
from typing import Literal

import torch
from torch import Tensor

from paecli.restoration.target import Target

Curvature = Literal["gauss-newton", "hessian"]

FIRST_TEMPER = 0.02  # of the likelihood, so that starts can still cross between modes
RISING_STEPS = 20
FULL = [1.0] * 10  # tempers of the steps after that, twice
ADAM_RATE = 0.15  # in prior standard deviations
FINAL_STEPS = 5
JACOBIAN_BUDGET = 128  # latents times starts that Levenberg-Marquardt finishes for an image
FEWEST, MOST = 4, 16  # of those starts; four times as many climb
FROM_DRAWS = 8  # draws of the posterior that climb
CLOSE = 0.25  # distance in a latent, in prior standard deviations, within which starts are one
FIRST_DAMPING = 0.1
LEAST_GAIN = 1e-4  # nats
EASIER, HARDER = 0.2, 8.0  # change of the damping after a good and a bad step
LEAST_PRECISION = 0.25  # no direction is wider than twice the prior


def draw_starts(
    target: Target, *, count: int, generator: torch.Generator, guesses: Tensor | None = None
) -> Tensor:
    """Draws starting points from the prior and keeps the likeliest.

    Args:
        target: the posterior.
        count: points to draw for each image.
        generator: source of randomness.
        guesses: `(n, g, k)` points that are always kept, or None.

    Returns:
        `(n, min(count, 4 * survivors(k)) + g, k)`.
    """
    n, k = len(target.data), target.latent_size
    starts = target.base.sample(n * count, generator=generator).to(target.data)
    starts = _bounded(target, starts.view(n, count, k))
    starts = best(target, starts, 4 * survivors(k), temper=FIRST_TEMPER)
    return starts if guesses is None else torch.cat((_bounded(target, guesses), starts), dim=1)


def survivors(latent_size: int) -> int:
    """Returns how many starts of an image to finish; a Jacobian costs a pass for each latent."""
    return min(MOST, max(FEWEST, JACOBIAN_BUDGET // latent_size))


def climb(target: Target, u: Tensor) -> Tensor:
    """Moves starts `(n, s, k)` uphill by Adam while the likelihood's temper rises to 1.

    The worse half of the starts, as `best` ranks them, is dropped after each third, but never
    below `survivors`.

    Returns:
        `(n, min(s, survivors(k)), k)`, best first.
    """
    rising = [FIRST_TEMPER ** (1 - step / RISING_STEPS) for step in range(RISING_STEPS)]
    for tempers, rate in ((rising, ADAM_RATE), (FULL, ADAM_RATE), (FULL, ADAM_RATE / 4)):
        u = _adam(target, u, tempers, rate=rate)
        u = best(target, u, max(survivors(target.latent_size), u.shape[1] // 2))
    return best(target, u, survivors(target.latent_size))


def climb_on(target: Target, u: Tensor) -> Tensor:
    """Moves draws from the posterior uphill; they are in the right basins already.

    Args:
        target: the posterior.
        u: draws `(n, s, k)`.

    Returns:
        `(n, min(s, FROM_DRAWS), k)` of them, spread over the basins, best first.
    """
    u = best(target, _bounded(target, u), FROM_DRAWS)
    return best(target, _adam(target, u, FULL, rate=ADAM_RATE / 4), u.shape[1])


@torch.no_grad()
def best(target: Target, u: Tensor, count: int, *, temper: float = 1.0) -> Tensor:
    """Returns the `count` points of highest posterior density of each image, best first.

    Points close to a better one come after all others: many starts at one mode would else push
    a second, lower mode out.

    Args:
        target: the posterior of each of `n` images.
        u: base vectors `(n, s, k)`.
        count: how many to keep, at most `s`.
        temper: power of the likelihood.

    Returns:
        `(n, count, k)`.
    """
    log_prob = target.log_prob(u, temper=temper).nan_to_num(nan=-torch.inf)
    order = log_prob.argsort(dim=1, descending=True)
    u = torch.take_along_dim(u, order.unsqueeze(-1), dim=1)
    close = torch.cdist(u, u) < CLOSE * sqrt(u.shape[2])
    repeats_last = close.tril(-1).any(2).int().argsort(dim=1, stable=True)
    return torch.take_along_dim(u, repeats_last[:, :count].unsqueeze(-1), dim=1)


@torch.no_grad()
def finish(target: Target, u: Tensor, *, steps: int = FINAL_STEPS) -> tuple[Tensor, Tensor]:
    """Takes Levenberg-Marquardt steps from points `(n, s, k)`; exact for a linear decoder.

    It ends sooner where a step gains nothing worth a Jacobian any more.

    Returns:
        The points, and their log posterior `(n, s)`, which never falls.
    """
    log_prob = target.log_prob(u)
    damping = torch.full_like(log_prob, FIRST_DAMPING)
    for _ in range(steps):
        curvature, slope = gauss_newton(target, u)
        scale = curvature.diagonal(dim1=-2, dim2=-1) * damping[..., None]
        step = torch.linalg.solve(curvature + torch.diag_embed(scale), slope.unsqueeze(-1))
        proposal = _bounded(target, u + step.squeeze(-1).to(u))
        new = target.log_prob(proposal)
        better = new >= log_prob
        has_arrived = better & (new - log_prob < LEAST_GAIN)
        u = torch.where(better[..., None], proposal, u)
        log_prob = torch.where(better, new, log_prob)
        if has_arrived.all():
            break
        damping = torch.where(better, damping * EASIER, damping * HARDER).clamp(1e-9, 1e6)
    return u, log_prob


def gauss_newton(target: Target, u: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the Gauss-Newton precision `P + J' W J` and the gradient of the log posterior.

    `P` is the precision of the base, the identity for N(0, I).

    Args:
        target: the posterior over base vectors.
        u: points `(n, s, k)`.

    Returns:
        `(n, s, k, k)` and `(n, s, k)`, in float64.
    """
    images, jacobian = target.jacobian(u)
    seen = target.observe(jacobian)
    weighted = seen * target.pixel_precision[:, None, None]
    points = u.flatten(0, 1)
    prior = target.base.precision(points).double().view(*u.shape, -1)
    curvature = (weighted @ seen.transpose(-1, -2)).double() + prior
    misfit = target.data[:, None] - target.observe(images)
    pull = target.base.gradient(points).double().view(u.shape)
    slope = torch.einsum("nskp,nsp->nsk", weighted, misfit).double() + pull
    return curvature, slope


def _adam(target: Target, u: Tensor, tempers: list[float], *, rate: float) -> Tensor:
    first, second = torch.zeros_like(u), torch.zeros_like(u)
    for step, temper in enumerate(tempers, start=1):
        _, slope = target.log_prob_and_gradient(u, temper=temper)
        first = 0.9 * first + 0.1 * slope
        second = 0.95 * second + 0.05 * slope.square()
        moved = (first / (1 - 0.9**step)) / ((second / (1 - 0.95**step)).sqrt() + 1e-8)
        u = _bounded(target, u + rate * moved)
    return u


def _bounded(target: Target, u: Tensor) -> Tensor:
    """Pulls points back into the ball that holds nearly all of the prior.

    A trained flow sends points far outside it to absurd latents.
    """
    radius = target.base.radius
    shrink: Tensor = radius / u.norm(dim=-1, keepdim=True).clamp_min(radius)
    return u * shrink


def laplace_precision(
    target: Target, u: Tensor, *, curvature: Curvature = "gauss-newton"
) -> Tensor:
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
        misfit = target.observe(target.images(point[None, None])[0, 0]) - data
        prior = target.base.log_prob(point[None]).squeeze()
        return 0.5 * (weight * misfit.square()).sum() - prior

    second = torch.func.hessian(energy)
    of_points = torch.vmap(second, in_dims=(0, None, None))
    values: Tensor = torch.vmap(of_points)(u, target.data, target.pixel_precision)
    return 0.5 * (values + values.transpose(-1, -2)).double()


def cholesky_of_inverse(precision: Tensor) -> Tensor:
    """Returns the lower Cholesky factor of the inverse of `(..., k, k)` matrices."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(precision))
    factor: Tensor = torch.linalg.cholesky(inverse)
    return factor
