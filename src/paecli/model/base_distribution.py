"""What base vectors follow: N(0, I), or a mixture of Gaussians fitted to them.

A flow maps continuously, so that it can bend N(0, I) into clusters only by stretching what lies
between them. A base that has clusters itself spares it that (Izmailov et al., "Semi-supervised
learning with normalizing flows", arXiv:1912.13025; Stimper et al., arXiv:2110.15828).
"""

from math import log, pi, sqrt
from typing import Protocol

import torch
from torch import Tensor, nn

from paecli.model.identities import identities

FAR = 4.0  # what a ball needs beyond sqrt(k) to hold nearly all of a standard Gaussian


class Base(Protocol):
    """A distribution over base vectors of length `k`."""

    @property
    def radius(self) -> float:
        """Radius of a ball around 0 that holds nearly all of it."""
        ...

    def log_prob(self, u: Tensor) -> Tensor:
        """Returns the log density of `(b, k)` vectors: `(b,)` in nats; differentiable."""
        ...

    def gradient(self, u: Tensor) -> Tensor:
        """Returns the gradient of `log_prob` at `(b, k)` vectors: the same shape."""
        ...

    def precision(self, u: Tensor) -> Tensor:
        """Returns the curvature at `(b, k)` vectors: `(b, k, k)`, positive definite."""
        ...

    def sample(
        self, count: int, *, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draws `(count, k)` vectors; a temperature below 1 keeps them nearer to the middle."""
        ...

    def standardise(self, u: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Maps `(b, k)` vectors to ones that follow N(0, I) if these follow the base."""
        ...


class StandardGaussian(nn.Module):
    """N(0, I)."""

    def __init__(self, size: int) -> None:
        """Takes the length of a base vector."""
        super().__init__()
        self.size = size

    @property
    def radius(self) -> float:
        """As `Base.radius`."""
        return sqrt(self.size) + FAR

    def log_prob(self, u: Tensor) -> Tensor:
        """As `Base.log_prob`."""
        return standard_gaussian_log_prob(u)

    def gradient(self, u: Tensor) -> Tensor:
        """As `Base.gradient`."""
        return -u

    def precision(self, u: Tensor) -> Tensor:
        """As `Base.precision`."""
        return torch.eye(self.size, dtype=u.dtype, device=u.device).expand(len(u), -1, -1)

    def sample(
        self, count: int, *, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """As `Base.sample`."""
        return temperature * torch.randn(count, self.size, generator=generator)

    def standardise(self, u: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """As `Base.standardise`."""
        del generator
        return u


class GaussianMixture(nn.Module):
    """`sum over j of weight_j N(u; mean_j, (F_j F_j')^-1)`; N(0, I) until `set`.

    Attributes:
        log_weights: `(m,)` in nats.
        means: `(m, k)`.
        factors: `(m, k, k)` upper triangular Cholesky factors `F` of the precisions.
        extent: `()` the radius; kept, since every step of a search for modes asks for it.
    """

    log_weights: Tensor
    means: Tensor
    factors: Tensor
    extent: Tensor

    def __init__(self, components: int, size: int) -> None:
        """Takes the number of Gaussians and the length of a base vector."""
        super().__init__()
        self.register_buffer("log_weights", torch.full((components,), -log(components)))
        self.register_buffer("means", torch.zeros(components, size))
        self.register_buffer("factors", identities(components, size))
        self.register_buffer("extent", torch.tensor(sqrt(size) + FAR))

    @property
    def radius(self) -> float:
        """As `Base.radius`."""
        return self.extent.item()

    @torch.no_grad()
    def set(self, weights: Tensor, means: Tensor, factors: Tensor) -> None:
        """Sets weights `(m,)`, means `(m, k)` and factors `(m, k, k)`."""
        self.log_weights.copy_(weights.log())
        self.means.copy_(means)
        self.factors.copy_(factors)
        widest = torch.linalg.matrix_norm(torch.linalg.inv(self.factors), ord=2)
        radii = self.means.norm(dim=1) + widest * (sqrt(means.shape[1]) + FAR)
        self.extent.copy_(radii.max())

    def log_prob(self, u: Tensor) -> Tensor:
        """As `Base.log_prob`."""
        return self._log_joint(self._standard(u)).logsumexp(0)

    def gradient(self, u: Tensor) -> Tensor:
        """As `Base.gradient`."""
        standard = self._standard(u)
        shares = self._log_joint(standard).softmax(0)
        return -torch.einsum("jb,jbl,jkl->bk", shares, standard, self.factors.to(u))

    def precision(self, u: Tensor) -> Tensor:
        """As `Base.precision`: the mean over the Gaussians that `u` may come from."""
        shares = self._log_joint(self._standard(u)).softmax(0)
        factors = self.factors.to(u)
        return torch.einsum("jb,jkl->bkl", shares, factors @ factors.mT)

    def sample(
        self, count: int, *, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """As `Base.sample`."""
        weights = self.log_weights.exp().cpu()
        chosen = torch.multinomial(weights, count, replacement=True, generator=generator)
        standard = torch.randn(count, self.means.shape[1], generator=generator)
        means, factors = self.means.cpu(), self.factors.cpu()
        drawn = means[chosen]
        for index in chosen.unique():  # a factor for each draw would take gigabytes
            rows = chosen == index
            drawn[rows] += temperature * torch.linalg.solve_triangular(
                factors[index], standard[rows].to(factors), upper=True, left=False
            )
        return drawn

    def standardise(self, u: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """As `Base.standardise`: in units of a Gaussian drawn from those `u` may come from."""
        standard = self._standard(u)
        shares = self._log_joint(standard).softmax(0).T.cpu()
        chosen = torch.multinomial(shares, 1, generator=generator)[:, 0].to(u.device)
        picked: Tensor = standard[chosen, torch.arange(len(u), device=u.device)]
        return picked

    def _standard(self, u: Tensor) -> Tensor:
        """Returns `(b, k)` vectors in the units of every Gaussian: `(m, b, k)`."""
        means, factors = self.means.to(u), self.factors.to(u)
        return u @ factors - means.unsqueeze(1) @ factors

    def _log_joint(self, standard: Tensor) -> Tensor:
        """Returns each Gaussian's share of the log density: `(m, b)`."""
        volumes = self.factors.diagonal(dim1=1, dim2=2).log().sum(1)
        level = (self.log_weights + volumes).to(standard)
        return level.unsqueeze(1) + standard_gaussian_log_prob(standard)


def build_base(components: int, size: int) -> StandardGaussian | GaussianMixture:
    """Returns N(0, I) for 0 components, else a mixture that is not fitted yet."""
    return GaussianMixture(components, size) if components else StandardGaussian(size)


def standard_gaussian_log_prob(u: Tensor) -> Tensor:
    """Returns `log N(u; 0, I)` of `(..., k)` vectors: `(...)` in nats."""
    return -0.5 * (u.square().sum(-1) + u.shape[-1] * log(2 * pi))
