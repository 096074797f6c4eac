"""Fits the Gaussians of a flow's base, and chooses their number, before the flow is trained."""

import warnings

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Estimator
from torch import Tensor

from paecli.model.base_distribution import GaussianMixture, standard_gaussian_log_prob
from paecli.system.errors import TrainingError
from paecli.system.limits import spread

LEAST_LATENTS = 10  # for each Gaussian: with fewer, they wrap single images
SMALLEST_VARIANCE = 1e-3  # of a Gaussian, where the whitened latents have 1
ITERATIONS = 25  # of expectation maximisation; the density gains little after them
MOST_LATENTS = 20_000  # that the choice looks at; what is chosen is fitted to all
COUNTS = (2, 4, 8, 16, 32, 64)  # that are tried where the number is to be chosen


def fit_mixture(base: GaussianMixture, u: Tensor, *, seed: int = 0) -> None:
    """Fits the mixture to base vectors `(n, k)` by expectation maximisation.

    Raises:
        TrainingError: too few vectors for so many Gaussians.
    """
    components = len(base.means)
    most = len(u) // LEAST_LATENTS
    if components > most:
        raise TrainingError(
            f"{len(u)} images are too few for a base of {components} Gaussians; set "
            f"`flow_options: {{components: {most}}}` or fewer in a --config file (0: none)"
        )
    set_mixture(base, _fitted(components, u, covariance="full", seed=seed))


def choose_mixture(u: Tensor, tuning: Tensor, *, seed: int = 0) -> Estimator | None:
    """Fits mixtures of Gaussians with diagonal covariances, and chooses one.

    The fewest Gaussians are taken whose mean log density of other vectors lies within one
    standard error of the best (Breiman et al., "Classification and regression trees", 1984, 3.4.3).

    Args:
        u: base vectors `(n, k)` that the mixtures are fitted to.
        tuning: others `(m, k)` that choose.
        seed: where the fits start from.

    Returns:
        The mixture, or None where N(0, I) does as well.
    """
    some = u[spread(len(u), MOST_LATENTS)]
    counts = [count for count in COUNTS if count * LEAST_LATENTS <= len(some)]
    fitted: list[Estimator | None] = [None]
    fitted += [_fitted(count, some, covariance="diag", seed=seed) for count in counts]
    held_out = tuning.double().cpu()
    densities = [standard_gaussian_log_prob(held_out)]
    densities += [torch.from_numpy(each.score_samples(held_out.numpy())) for each in fitted if each]
    best = max(densities, key=lambda density: density.mean().item())
    chosen = next(
        each for each, density in zip(fitted, densities, strict=True) if _as_good(density, best)
    )
    if chosen is None or len(some) == len(u):
        return chosen
    return _fitted(chosen.n_components, u, covariance="diag", seed=seed)


def set_mixture(base: GaussianMixture, mixture: Estimator) -> None:
    """Makes a fitted mixture the base, which has as many Gaussians."""
    factors = torch.from_numpy(mixture.precisions_cholesky_)
    base.set(
        torch.from_numpy(mixture.weights_),
        torch.from_numpy(mixture.means_),
        torch.diag_embed(factors) if factors.ndim == 2 else factors,
    )


def _fitted(components: int, u: Tensor, *, covariance: str, seed: int) -> Estimator:
    estimator = Estimator(
        components,
        covariance_type=covariance,
        reg_covar=SMALLEST_VARIANCE,
        max_iter=ITERATIONS,
        random_state=seed,
    )
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # as intended
        return estimator.fit(u.double().cpu().numpy())


def _as_good(density: Tensor, best: Tensor) -> bool:
    """Tells whether log densities `(m,)` fall behind by a standard error at most."""
    behind = best - density
    error = behind.std(correction=0) / len(behind) ** 0.5
    return bool(behind.mean() <= error)
