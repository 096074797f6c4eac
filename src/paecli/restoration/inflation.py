"""By how much correlated errors inflate the variance of a likelihood of independent pixels.

Errors of neighbouring pixels go together, so many observed pixels say less than they seem to.
Inflating the variance gives the curvature its right size: the magnitude adjustment of
composite likelihoods (Pauli, Racugno & Ventura, Statistica Sinica 21 (2011) 149). Which size is
right is measured on held-out images, for the very mask in hand and by what it is for: the
spread of the missing pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from paecli.model.held_out_errors import HeldOutErrors
from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.operators import Operator
from paecli.restoration.target import Target

LARGEST = 1000.0
HALVINGS = 20  # of the interval in which the factor is searched; leaves it to 1e-5
JACOBIAN_BYTES = 32 << 20  # of held-out images' Jacobians that are in memory together


def measure_inflations(
    errors: HeldOutErrors,
    space: LatentSpace,
    *,
    sigma: Tensor,
    masks: Tensor,
    operator: Operator | None = None,
) -> list[float]:
    """Measures by how much to inflate the model's variance for each of some masks.

    The factor is the one at which the posterior, linearised at the true latents of the kept
    images, is as wide in the missing pixels (in all, if none is missing) as its mean is wrong.

    Args:
        errors: with held-out images.
        space: whitened latents and their maps.
        sigma: `(c, h, w)` standard deviation of a pixel.
        masks: `(m, q)`, True where observed.
        operator: through which the image is seen, or None.

    Returns:
        Factors from 1 to `LARGEST`; 1 without held-out images or observed pixels.
    """
    informing = masks[masks.any(1)] if errors.fitted else masks[:0]
    if not len(informing):
        return [1.0] * len(masks)
    parts: list[list[_LinearPosterior]] = [[] for _ in informing]
    for images in _few_at_once(errors, sigma):
        # a Jacobian takes as long as all else: one for all masks
        held_out = _Linearised.of(images, space, sigma=sigma, operator=operator)
        for part, seen in zip(parts, informing, strict=True):
            part.append(held_out.posterior(seen))
    factors = iter([_search(_LinearPosterior.joined(part)) for part in parts])
    return [next(factors) if mask.any() else 1.0 for mask in masks]


def _few_at_once(errors: HeldOutErrors, sigma: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields base vectors `(b, k)` and images `(b, c, h, w)` in [0, 1] of few held-out images."""
    bytes_of_one = errors.u.shape[1] * sigma.numel() * torch.float64.itemsize
    size = max(1, JACOBIAN_BYTES // bytes_of_one)
    for u, images in zip(errors.u.split(size), errors.images.split(size), strict=True):
        yield u.to(sigma), images.to(sigma) / 255


def _search(posterior: "_LinearPosterior") -> float:
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

    @staticmethod
    def joined(parts: Sequence["_LinearPosterior"]) -> "_LinearPosterior":
        """Returns the posteriors of all images of several parts."""
        names = [field.name for field in fields(_LinearPosterior)]
        return _LinearPosterior(*(torch.cat([getattr(p, name) for p in parts]) for name in names))

    def is_too_narrow(self, factor: float) -> bool:
        """Tells whether the means are further off than the spread says, over all images."""
        covariance = torch.linalg.inv(self.precision / factor + self.prior_precision)
        error = covariance @ (self.likelihood_gradient / factor + self.prior_gradient)
        return bool((error.mT @ self.metric @ error).sum() > (covariance * self.metric).sum())


@dataclass(frozen=True)
class _Linearised:
    """Held-out images, linearised at their true base vectors, before a mask says what is seen.

    Attributes:
        target: whose base vectors, operator and variance count; all is observed.
        prior_precision: `(n, k, k)` of the base, in float64 like all that follow.
        prior_gradient: `(n, k, 1)` gradient of the base's log density.
        jacobian: `(n, k, p)` of the decoded images.
        misfit: `(n, q)` of what is seen.
    """

    target: Target
    prior_precision: Tensor
    prior_gradient: Tensor
    jacobian: Tensor
    misfit: Tensor

    @staticmethod
    def of(
        held_out: tuple[Tensor, Tensor],
        space: LatentSpace,
        *,
        sigma: Tensor,
        operator: Operator | None,
    ) -> "_Linearised":
        """Linearises base vectors `(n, k)` and their images."""
        u, data = held_out
        variance = sigma.square()
        if operator is not None:
            data, variance = operator(data), operator.variance(variance)
        data = data.flatten(1)
        target = Target(
            space.decode,
            data,
            variance.flatten().expand_as(data),
            torch.ones_like(data, dtype=torch.bool),
            u.shape[1],
            space.base,
            operator=operator,
            inner=space.from_base,
            differentiate=space.differentiate,
        )
        images, jacobian = (each.squeeze(1).double() for each in target.jacobian(u[:, None]))
        return _Linearised(
            target,
            prior_precision=space.base.precision(u).double(),
            prior_gradient=space.base.gradient(u).unsqueeze(-1).double(),
            jacobian=jacobian,
            misfit=data.double() - target.observe(images),
        )

    def posterior(self, seen: Tensor) -> _LinearPosterior:
        """Returns the posteriors when only some values are seen, `(q,)`."""
        masked = replace(self.target, observed=seen.expand_as(self.target.data))
        wanted = masked.wanted(self.jacobian)
        informing = masked.observe(self.jacobian)[..., seen]
        weighted = informing / self.target.variance[0, seen].double()
        return _LinearPosterior(
            self.prior_precision,
            self.prior_gradient,
            precision=weighted @ informing.mT,
            likelihood_gradient=weighted @ self.misfit[:, seen, None],
            metric=wanted @ wanted.mT,
        )
