"""Fits the Gaussians of a flow's base, before the flow is trained."""

import warnings

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Estimator
from torch import Tensor

from paecli.model.base_distribution import GaussianMixture
from paecli.system.errors import TrainingError

LEAST_LATENTS = 10  # for each Gaussian: with fewer, they wrap single images
SMALLEST_VARIANCE = 1e-3  # of a Gaussian, where the whitened latents have 1
ITERATIONS = 25  # of expectation maximisation; the density gains little after them


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
    estimator = Estimator(
        components, reg_covar=SMALLEST_VARIANCE, max_iter=ITERATIONS, random_state=seed
    )
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # as intended
        estimator.fit(u.double().cpu().numpy())
    base.set(
        torch.from_numpy(estimator.weights_),
        torch.from_numpy(estimator.means_),
        torch.from_numpy(estimator.precisions_cholesky_),
    )
