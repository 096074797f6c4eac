"""Mean and variance of the restored image, with control variates.

For draws from a log density with gradient `s(u)`, Stein's identity gives functions of known mean:
`E[s] = 0` and `E[s (u - m)'] = -I` (Mira, Solgi & Imparato, "Zero variance Markov chain
Monte Carlo for Bayesian estimators", arXiv:1012.2983). With the linearised decoder they
cancel all Monte Carlo noise of a Gaussian posterior, and some of that of others.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Linearisation:
    """The posterior about one mode: `g(u) = image + (u - u0) J`, `u` with covariance `C`.

    Attributes:
        jacobian: `(n, k, p)`.
        covariance: `(n, k, k)`.
    """

    jacobian: Tensor
    covariance: Tensor

    def pixel_variance(self) -> Tensor:
        """Returns the diagonal of `J' C J`: `(n, p)`."""
        return ((self.covariance @ self.jacobian) * self.jacobian).sum(1)


def pixel_moments(images: Tensor, gradient: Tensor, linear: Linearisation) -> tuple[Tensor, Tensor]:
    """Returns mean and variance of every pixel over draws.

    Args:
        images: `(n, s, p)` images of the draws.
        gradient: `(n, s, k)` gradient of the log density that the draws follow.
        linear: the linearisation that the control variates are built from.

    Returns:
        `(n, p)` and `(n, p)`.
    """
    control = gradient @ (linear.covariance @ linear.jacobian)
    mean = _controlled_mean(images, control)
    offset = images - mean[:, None]
    squared_control = offset * control + linear.pixel_variance()[:, None]
    squared = _controlled_mean(offset.square(), squared_control)
    # far from a Gaussian the correction can overshoot; the variance stays positive
    return mean, torch.where(squared > 0, squared, offset.square().mean(1))


def _controlled_mean(values: Tensor, control: Tensor) -> Tensor:
    """Averages `(n, s, p)` values less their regression on controls of mean zero."""
    mean, control_mean = values.mean(1), control.mean(1)
    centred = control - control_mean[:, None]
    shared = ((values - mean[:, None]) * centred).mean(1)
    spread = centred.square().mean(1)
    slope = torch.where(spread > 0, shared / spread.clamp_min(1e-30), torch.zeros_like(spread))
    return mean - slope * control_mean
