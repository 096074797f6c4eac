"""The posterior density of damaged images, for many of them at once."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import pi

import torch
from torch import Tensor

from paecli.model.base_distribution import Base
from paecli.model.map_jacobian import map_jacobian
from paecli.restoration.operators import Operator
from paecli.system.threads import fitting

Generate = Callable[[Tensor], Tensor]
LogDensity = Callable[[Tensor], Tensor]
Differentiate = Callable[[Tensor], tuple[Tensor, Tensor]]

JACOBIAN_ROWS = 512  # decoder passes at once when a Jacobian is taken; bounds the memory


@dataclass(frozen=True)
class Target:
    """`log p(u, d) = log prior(u) + sum over observed pixels of log N(d; A g(u), variance)`.

    The coordinates `u` are the flow's base vectors, with `g(u) = decode(from_base(u))`, or
    those of `paecli.restoration.coordinates`. Shapes: `n` images, `s` points for each, `k`
    latents, `p` values (channels times pixels) of an image, `q` of what is seen of it by `A`.

    Attributes:
        generate: `g`, maps `(b, k)` points to `(b, c, h, w)` images; differentiable. With
            `inner`, `g` is `generate(inner(u))`.
        data: `(n, q)` observed values; anything finite where missing.
        variance: `(n, q)` variance of `data` about `A g(u)`: model error and noise.
        observed: `(n, q)`, True where observed.
        base: distribution of base vectors.
        log_prior: log density of `(b, k)` points, `(b,)` in nats; differentiable. None: that
            of the base, whose vectors the points are.
        operator: `A`, blur or down-sampling; None: the image itself is seen, `q = p`.
        inner: maps `(b, k)` points to `(b, k)` ones, which `generate` takes; differentiable.
        differentiate: maps what `generate` takes to images and their derivatives by each
            coordinate, `(b, k, c, h, w)`; None: by torch's forward mode, which takes longer.
    """

    generate: Generate
    data: Tensor
    variance: Tensor
    observed: Tensor
    latent_size: int
    base: Base
    log_prior: LogDensity | None = None
    operator: Operator | None = None
    inner: Generate | None = None
    differentiate: Differentiate | None = None

    @property
    def pixel_precision(self) -> Tensor:
        """`(n, q)`: 1 / variance where observed, 0 where missing."""
        return self.observed / self.variance

    def observe(self, images: Tensor) -> Tensor:
        """Returns what is seen of flattened images `(..., p)`: `(..., q)`."""
        return images if self.operator is None else self.operator.flat(images)

    def wanted(self, images: Tensor) -> Tensor:
        """Picks the pixels that are asked for, from images `(..., p)` of the first target.

        They are the missing ones; all, where none is missing or all are seen through an operator.
        """
        missing = ~self.observed[0]
        return images[..., missing] if self.operator is None and missing.any() else images

    def images(self, u: Tensor) -> Tensor:
        """Maps points `(n, s, k)` to flattened images `(n, s, p)`."""
        n, s, _ = u.shape
        flat = u.reshape(n * s, -1)
        return self.generate(flat if self.inner is None else self.inner(flat)).reshape(n, s, -1)

    def misfit(self, images: Tensor) -> Tensor:
        """Returns how far what is seen of `(n, s, p)` images is off, in standard deviations.

        Returns:
            `(n, s, q)`; 0 where missing.
        """
        return (self.observe(images) - self.data[:, None]) * self.pixel_precision.sqrt()[:, None]

    def chi2(self, images: Tensor) -> Tensor:
        """Returns the squared misfit of `(n, s, p)` images in units of the variance: `(n, s)`."""
        misfit = self.observe(images) - self.data[:, None]
        return torch.einsum("nsq,nq->ns", misfit.square(), self.pixel_precision)

    def log_prob(self, u: Tensor, *, temper: float = 1.0) -> Tensor:
        """Returns `log prior + temper * log likelihood` at points `(n, s, k)`: `(n, s)`."""
        log_prior = self.log_prior or self.base.log_prob
        prior = log_prior(u.flatten(0, 1)).view(u.shape[:2])
        return prior + temper * self.log_likelihood(self.images(u))

    def log_likelihood(self, images: Tensor) -> Tensor:
        """Returns the log likelihood of `(n, s, p)` images in nats: `(n, s)`."""
        normaliser = (self.observed * (2 * pi * self.variance).log()).sum(1)
        return -0.5 * (self.chi2(images) + normaliser[:, None])

    def log_prob_and_gradient(self, u: Tensor, *, temper: float = 1.0) -> tuple[Tensor, Tensor]:
        """Returns `log_prob` `(n, s)` and its gradient `(n, s, k)`."""
        with fitting(f"gradients {_size_class(u)}", u.shape[0] * u.shape[1]), torch.enable_grad():
            u = u.detach().requires_grad_(True)
            log_prob = self.log_prob(u, temper=temper)
            (gradient,) = torch.autograd.grad(log_prob.sum(), u)
        return log_prob.detach(), gradient

    def prior_gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the log prior `(n, s)` at points `(n, s, k)` and its gradient `(n, s, k)`."""
        with (
            fitting(f"prior gradients {_size_class(u)}", u.shape[0] * u.shape[1]),
            torch.enable_grad(),
        ):
            flat = u.detach().flatten(0, 1).requires_grad_(True)
            log_prior = (self.log_prior or self.base.log_prob)(flat)
            (gradient,) = torch.autograd.grad(log_prior.sum(), flat)
        return log_prior.detach().view(u.shape[:2]), gradient.view(u.shape)

    def jacobian(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Returns images `(n, s, p)` and `d image / d u`, `(n, s, k, p)`, by forward mode."""
        n, s, k = u.shape
        parts = [
            self._jacobian(part) for part in u.reshape(n * s, k).split(max(1, JACOBIAN_ROWS // k))
        ]
        images = torch.cat([part[0] for part in parts]).reshape(n, s, -1)
        return images, torch.cat([part[1] for part in parts]).reshape(n, s, k, -1)

    @torch.no_grad()
    def _jacobian(self, u: Tensor) -> tuple[Tensor, Tensor]:
        at, outer = (u, None) if self.inner is None else map_jacobian(self.inner, u)
        with fitting("jacobians", len(u)):
            images, columns = (self.differentiate or self._forward_mode)(at)
        columns = columns.flatten(2)
        return images.flatten(1), columns if outer is None else outer @ columns

    def _forward_mode(self, at: Tensor) -> tuple[Tensor, Tensor]:
        def push(direction: Tensor) -> Tensor:
            change: Tensor = torch.func.jvp(self.generate, (at,), (direction.expand_as(at),))[1]
            return change

        directions = torch.eye(at.shape[1], dtype=at.dtype, device=at.device)
        with warnings.catch_warnings(action="ignore"):  # torch's own, on first use
            return self.generate(at), torch.vmap(push)(directions).transpose(0, 1)

    def select(self, images: Tensor) -> "Target":
        """Returns the target of a subset of the images; `images` is an index `(m,)`."""
        return replace(
            self,
            data=self.data[images],
            variance=self.variance[images],
            observed=self.observed[images],
        )


def _size_class(u: Tensor) -> int:
    """Returns a number that points `(n, s, k)` of about the same count share."""
    return (u.shape[0] * u.shape[1]).bit_length()
