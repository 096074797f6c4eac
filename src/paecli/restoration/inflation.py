"""By how much correlated errors inflate the variance of a likelihood of independent pixels.

Errors of neighbouring pixels go together, so many observed pixels say less than they seem to.
Inflating the variance gives the curvature its right size: the magnitude adjustment of
composite likelihoods (Pauli, Racugno & Ventura, Statistica Sinica 21 (2011) 149). Which size is
right is measured on held-out images, for the very mask in hand and by what it is for: the
spread of the missing pixels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from paecli.model.held_out_errors import HeldOutErrors
from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.operators import Operator
from paecli.restoration.target import Target

LARGEST = 1000.0
HALVINGS = 20  # of the interval in which the factor is searched; leaves it to 1e-5


def measure_inflation(
    errors: HeldOutErrors,
    space: LatentSpace,
    *,
    sigma: Tensor,
    observed: Tensor,
    operator: Operator | None = None,
) -> float:
    """Measures by how much to inflate the model's variance for one mask.

    The factor is the one at which the posterior, linearised at the true latents of the kept
    images, is as wide in the missing pixels (in all, if none is missing) as its mean is wrong.

    Args:
        errors: with held-out images.
        space: whitened latents and their maps.
        sigma: `(c, h, w)` standard deviation of a pixel.
        observed: `(c, h, w)` or flattened, True where observed.
        operator: through which the image is seen, or None.

    Returns:
        A factor from 1 to `LARGEST`; 1 without held-out images or observed pixels.
    """
    if not errors.fitted or not observed.any():
        return 1.0
    posterior = _linearise(errors, space, sigma=sigma, seen=observed.flatten(), operator=operator)
    low, high = 1.0, LARGEST
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if posterior.is_too_narrow(middle) else (low, middle)
    return high if low > 1 else 1.0


@dataclass(frozen=True)
class _LinearPosterior:
    """Posteriors of `n` images, linearised at their true base vectors, in float64.

    Attributes:
        prior_precision: `(n, k, k)` of the base at the true base vectors.
        prior_gradient: `(n, k, 1)` gradient of the base's log density there.
        precision: `(n, k, k)` of the likelihood without inflation.
        likelihood_gradient: `(n, k, 1)` gradient of its logarithm.
        metric: `(n, k, k)`; `v' metric v` is the squared change of the wanted pixels by `v`.
    """

    prior_precision: Tensor
    prior_gradient: Tensor
    precision: Tensor
    likelihood_gradient: Tensor
    metric: Tensor

    def is_too_narrow(self, factor: float) -> bool:
        """Tells whether the means are further off than the spread says, over all images."""
        covariance = torch.linalg.inv(self.precision / factor + self.prior_precision)
        error = covariance @ (self.likelihood_gradient / factor + self.prior_gradient)
        return bool((error.mT @ self.metric @ error).sum() > (covariance * self.metric).sum())


def _linearise(
    errors: HeldOutErrors,
    space: LatentSpace,
    *,
    sigma: Tensor,
    seen: Tensor,
    operator: Operator | None,
) -> _LinearPosterior:
    """Linearises; `seen` is `(q,)`."""
    u, data = errors.u.to(sigma), errors.images.to(sigma) / 255
    variance = sigma.square()
    if operator is not None:
        data, variance = operator(data), operator.variance(variance)
    data, variance = data.flatten(1), variance.flatten()
    observed = seen.expand_as(data)
    target = Target(
        space.decode,
        data,
        variance.expand_as(data),
        observed,
        u.shape[1],
        space.base,
        operator=operator,
        inner=space.from_base,
        differentiate=space.differentiate,
    )
    images, jacobian = (each.squeeze(1).double() for each in target.jacobian(u[:, None]))
    wanted = target.wanted(jacobian)
    informing = target.observe(jacobian)[..., seen]
    weighted = informing / variance[seen].double()
    misfit = data.double() - target.observe(images)
    return _LinearPosterior(
        prior_precision=space.base.precision(u).double(),
        prior_gradient=space.base.gradient(u).unsqueeze(-1).double(),
        precision=weighted @ informing.mT,
        likelihood_gradient=weighted @ misfit[:, seen, None],
        metric=wanted @ wanted.mT,
    )
