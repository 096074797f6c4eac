"""A mixture of Gaussians, one at each distinct mode, weighted by Laplace evidence."""

from dataclasses import dataclass, replace
from math import log, pi

import torch
from torch import Tensor

from paecli.model.base_distribution import GaussianMixture
from paecli.restoration.modes import cholesky_of_inverse

NEGLIGIBLE = 1e-4  # weight below which a mode is left out
MOST_CLUSTERS = 8  # Gaussians of a base that count
WIDENING = 1.05  # of a proposal, so that its tails cover the posterior's


@dataclass(frozen=True)
class Mixture:
    """For each of `n` images a mixture of `m` Gaussians in `k` dimensions, in float64.

    Attributes:
        means: `(n, m, k)`, heaviest first.
        factors: `(n, m, k, k)` lower Cholesky factors of the covariances.
        log_weights: `(n, m)`; minus infinity for places without a mode.
        log_posteriors: `(n, m)` log posterior over base vectors at the means, in nats; stays
            so when the mixture is pushed forward to latents.
    """

    means: Tensor
    factors: Tensor
    log_weights: Tensor
    log_posteriors: Tensor

    @property
    def weights(self) -> Tensor:
        """`(n, m)`, summing to 1."""
        return self.log_weights.exp()

    def select(self, images: Tensor) -> "Mixture":
        """Returns the mixtures of some of the images; `images` is an index."""
        return Mixture(
            self.means[images],
            self.factors[images],
            self.log_weights[images],
            self.log_posteriors[images],
        )

    def widened(self) -> "Mixture":
        """Returns a slightly wider mixture, to draw from and to weigh the draws."""
        return replace(self, factors=self.factors * WIDENING)

    def only_best(self) -> "Mixture":
        """Returns the Gaussian at the mode of highest posterior density alone."""
        best = self.log_posteriors.argmax(1, keepdim=True)
        return Mixture(
            means=_take(self.means, best),
            factors=_take(self.factors, best),
            log_weights=torch.zeros_like(best, dtype=torch.float64),
            log_posteriors=self.log_posteriors.gather(1, best),
        )

    def pick(self, count: int, generator: torch.Generator) -> Tensor:
        """Draws which component each of `count` points belongs to: `(n, count)`.

        Systematic: the counts are within one of `count` times the weight.
        """
        n = len(self.means)
        start = torch.rand(n, 1, generator=generator, dtype=torch.float64)
        ticks = ((start + torch.arange(count)) / count).to(self.means)
        edges = self.weights.cumsum(1)
        picked = torch.searchsorted(edges / edges[:, -1:], ticks)
        return picked.clamp_max(self.means.shape[1] - 1)

    def place(self, standard: Tensor, component: Tensor) -> Tensor:
        """Maps standard points `(n, s, k)` into their components `(n, s)`."""
        scaled = self.factors_of(component) @ standard.unsqueeze(-1)
        return _take(self.means, component) + scaled.squeeze(-1)

    def factors_of(self, component: Tensor) -> Tensor:
        """Returns the Cholesky factors `(n, s, k, k)` of components `(n, s)`."""
        return _take(self.factors, component)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draws `count` points for each image: `(n, count, k)`."""
        component = self.pick(count, generator)
        shape = (*component.shape, self.means.shape[2])
        standard = torch.randn(shape, generator=generator, dtype=torch.float64)
        return self.place(standard.to(self.means), component)

    def standardise_in(self, u: Tensor, component: Tensor) -> Tensor:
        """Undoes `place`: points `(n, s, k)` in the units of their components `(n, s)`."""
        offset = u.to(self.means) - _take(self.means, component)
        factors = self.factors_of(component)
        columns = offset.unsqueeze(-1)
        standard: Tensor = torch.linalg.solve_triangular(factors, columns, upper=False)
        return standard.squeeze(-1)

    def adapted(self, u: Tensor, gradient: Tensor, component: Tensor) -> "Mixture":
        """Reshapes all components alike, so that points look standard Gaussian in their units.

        Two estimates of the covariance are joined by their geometric mean: that of the points,
        and the inverse of that of the gradients. It standardises both together, and settles on
        fewer points than either (the metric of the sampler nutpie, which minimises the Fisher
        divergence to a Gaussian).

        Args:
            u: `(n, s, k)` points that follow the posterior.
            gradient: `(n, s, k)` gradients of its log density there.
            component: `(n, s)` the component of each.
        """
        standard = self.standardise_in(u, component)
        mean = standard.mean(1, keepdim=True)
        pulls = self.factors_of(component).mT @ gradient.unsqueeze(-1).to(self.factors)
        covariance = geometric_mean(
            shrunk_scatter(standard - mean), torch.linalg.inv(shrunk_scatter(pulls.squeeze(-1)))
        )
        moved = self.factors @ mean[:, :, :, None]
        return replace(
            self,
            means=self.means + moved.squeeze(-1),
            factors=self.factors @ torch.linalg.cholesky(covariance)[:, None],
        )

    def standardise(self, u: Tensor) -> Tensor:
        """Returns points `(n, s, k)` in every component's own units: `(n, m, s, k)`."""
        offset = u[:, None].to(self.means) - self.means[:, :, None]
        columns = offset.transpose(-1, -2)
        solved: Tensor = torch.linalg.solve_triangular(self.factors, columns, upper=False)
        return solved.transpose(-1, -2)

    def log_volumes(self) -> Tensor:
        """Returns half the log determinant of each covariance: `(n, m)`."""
        volumes: Tensor = self.factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return volumes

    def gradient(self, u: Tensor) -> Tensor:
        """Returns the gradient of the mixture's log density at `(n, s, k)`: the same shape."""
        standard = self.standardise(u)
        log_joint = self._log_joint(standard)
        share = log_joint.softmax(dim=1).unsqueeze(-1)
        upper = self.factors.transpose(-1, -2)
        pull = torch.linalg.solve_triangular(upper, standard.transpose(-1, -2), upper=True)
        pulled: Tensor = (share * pull.transpose(-1, -2)).sum(1)
        return -pulled

    def log_prob(self, u: Tensor) -> Tensor:
        """Returns the log density at points `(n, s, k)`: `(n, s)`."""
        return self._log_joint(self.standardise(u)).logsumexp(1)

    def _log_joint(self, standard: Tensor) -> Tensor:
        normaliser = self.log_volumes() + 0.5 * standard.shape[-1] * log(2 * pi)
        level = (self.log_weights - normaliser).unsqueeze(-1)
        return level - 0.5 * standard.square().sum(-1)


def build_mixture(modes: Tensor, log_posteriors: Tensor, precisions: Tensor) -> Mixture:
    """Clusters modes and weighs them by `log posterior + 0.5 log det covariance`.

    That is the Laplace evidence but for `k / 2 log 2 pi`, which is the same for all of them.

    A point inside the typical ellipsoid of a better mode (squared distance below `k` in
    its precision) is taken for the same mode.

    Args:
        modes: `(n, s, k)`.
        log_posteriors: `(n, s)`.
        precisions: `(n, s, k, k)` of the Laplace approximations.
    """
    order = log_posteriors.argsort(dim=1, descending=True)
    means, levels = _take(modes.double(), order), log_posteriors.double().gather(1, order)
    precisions = _take(precisions, order)
    factors = cholesky_of_inverse(precisions)
    evidence = levels + factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    evidence = evidence.masked_fill(~_distinct(means, precisions), -torch.inf)
    log_weights = evidence.log_softmax(1)
    log_weights = log_weights.masked_fill(log_weights < log(NEGLIGIBLE), -torch.inf)
    heaviest = log_weights.argsort(dim=1, descending=True)
    kept = heaviest[:, : int((log_weights > -torch.inf).sum(1).max())]
    return Mixture(
        means=_take(means, kept),
        factors=_take(factors, kept),
        log_weights=log_weights.gather(1, kept).log_softmax(1),
        log_posteriors=levels.gather(1, kept),
    )


def cluster_mixture(
    base: GaussianMixture, modes: Tensor, level: Tensor, slope: Tensor, curvature: Tensor
) -> Mixture:
    """Returns the posterior of each Gaussian of a base, with the decoder linearised at modes.

    A base of narrow and wide Gaussians about one place has its mode in a narrow one, and most of
    its posterior perhaps in a wide one, which the curvature at the mode knows nothing of.

    Args:
        base: distribution of base vectors.
        modes: `(n, s, k)`, in float64 like the others.
        level: `(n, s)` log likelihoods there, in nats; minus infinity for places without a mode.
        slope: `(n, s, k)` their gradients.
        curvature: `(n, s, k, k)` their Gauss-Newton curvatures.
    """
    n, _, k = modes.shape
    factors, means = base.factors.to(modes), base.means.to(modes)
    own = factors @ factors.mT
    pull = torch.einsum("nskl,nsl->nsk", curvature, modes) + slope
    constant = level - 0.5 * ((pull + slope) * modes).sum(-1)
    from_base = torch.einsum("jkl,jl->jk", own, means)
    pulls = pull[:, :, None] + from_base
    inverse_factors = cholesky_of_inverse(curvature[:, :, None] + own)
    half = (inverse_factors.mT @ pulls.unsqueeze(-1)).squeeze(-1)
    of_base = base.log_weights.to(modes) + factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    of_base = of_base - 0.5 * (from_base * means).sum(-1)
    volume = inverse_factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    evidence = constant[..., None] + of_base + volume + 0.5 * half.square().sum(-1)
    centres = (inverse_factors @ half.unsqueeze(-1)).squeeze(-1)
    heaviest = evidence.view(n, -1).argsort(1, descending=True)[:, :MOST_CLUSTERS]
    log_weights = evidence.view(n, -1).gather(1, heaviest).log_softmax(1)
    return Mixture(
        means=_take(centres.view(n, -1, k), heaviest),
        factors=_take(inverse_factors.view(n, -1, k, k), heaviest),
        log_weights=log_weights,
        log_posteriors=log_weights,
    )


def geometric_mean(first: Tensor, second: Tensor) -> Tensor:
    """Returns the geometric mean of positive definite matrices `(..., k, k)`.

    `A^(1/2) (A^(-1/2) B A^(-1/2))^(1/2) A^(1/2)`, symmetric in A and B.
    """
    values, vectors = torch.linalg.eigh(first)
    root = (vectors * values.sqrt().unsqueeze(-2)) @ vectors.mT
    inverse_root = (vectors / values.sqrt().unsqueeze(-2)) @ vectors.mT
    values, vectors = torch.linalg.eigh(inverse_root @ second @ inverse_root)
    middle = (vectors * values.clamp_min(0).sqrt().unsqueeze(-2)) @ vectors.mT
    mean: Tensor = root @ middle @ root
    return 0.5 * (mean + mean.mT)


def shrunk_scatter(standard: Tensor) -> Tensor:
    """Returns the covariance `(n, k, k)` of points `(n, s, k)` about 0, drawn to the identity.

    As if k more points had shown that the units are right as they are.
    """
    count, k = standard.shape[1:]
    identity = torch.eye(k, dtype=standard.dtype, device=standard.device)
    return (standard.mT @ standard + k * identity) / (count + k)


def _distinct(means: Tensor, precisions: Tensor) -> Tensor:
    """Tells which points `(n, s, k)`, best first, are no copy of a better one: `(n, s)`."""
    n, s, k = means.shape
    distinct = torch.ones(n, s, dtype=torch.bool, device=means.device)
    for index in range(1, s):
        offset = means[:, index : index + 1] - means[:, :index]
        squared = torch.einsum("nsk,nskl,nsl->ns", offset, precisions[:, :index], offset)
        distinct[:, index] = ~((squared < k) & distinct[:, :index]).any(1)
    return distinct


def _take(values: Tensor, index: Tensor) -> Tensor:
    """Picks along the second dimension: `values[n, index[n, j]]`."""
    return values[torch.arange(len(values), device=values.device)[:, None], index]
