"""Rational-quadratic spline coupling as a FrEIA module.

Durkan et al., "Neural Spline Flows", arXiv:1906.04032: inside [-bound, bound] a monotone
rational-quadratic spline, outside the identity (linear tails).
"""

from collections.abc import Callable, Iterable
from math import expm1, log
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paecli.model.freia import InvertibleModule

MIN_BIN = 1e-3
MIN_SLOPE = 1e-3
IDENTITY_SLOPE = log(expm1(1 - MIN_SLOPE))  # the raw slope that stands for 1


class _Bin(NamedTuple):
    """The bin that each value falls into; every field has the shape of the values."""

    x_low: Tensor
    x_high: Tensor
    y_low: Tensor
    y_high: Tensor
    slope_low: Tensor
    slope_high: Tensor


def rational_quadratic_spline(
    x: Tensor, parameters: Tensor, *, bound: float, inverse: bool = False
) -> tuple[Tensor, Tensor]:
    """Applies one monotone spline to each element of `x`.

    Args:
        x: values, shape `(...)`.
        parameters: `(..., 3 K - 1)`: K widths, K heights and K - 1 inner slopes,
            all unconstrained; zeros give the identity.
        bound: half the width of the interval in which the spline acts.
        inverse: whether to apply the inverse map.

    Returns:
        The mapped values and the log of the map's derivative, each shape `(...)`.

    Source: arXiv:1906.04032, equations 4 to 8.
    """
    inside = x.abs() < bound
    at = torch.where(inside, x, 0.0)
    bin_ = _find_bin(at, parameters, bound=bound, inverse=inverse)
    width, height = bin_.x_high - bin_.x_low, bin_.y_high - bin_.y_low
    mean_slope = height / width
    bend = bin_.slope_low + bin_.slope_high - 2 * mean_slope
    if inverse:
        theta = _solve(at - bin_.y_low, height, mean_slope, bin_.slope_low, bend)
    else:
        theta = (at - bin_.x_low) / width

    spread = theta * (1 - theta)
    denominator = mean_slope + bend * spread
    if inverse:
        y = bin_.x_low + theta * width
    else:
        rise = mean_slope * theta.square() + bin_.slope_low * spread
        y = bin_.y_low + height * rise / denominator
    numerator = (
        bin_.slope_high * theta.square()
        + 2 * mean_slope * spread
        + bin_.slope_low * (1 - theta).square()
    )
    log_slope = numerator.log() + 2 * (mean_slope / denominator).log()
    log_slope = torch.where(inside, -log_slope if inverse else log_slope, 0.0)
    return torch.where(inside, y, x), log_slope


def _find_bin(at: Tensor, parameters: Tensor, *, bound: float, inverse: bool) -> _Bin:
    """Builds the knots and picks, for each value inside the bounds, the bin around it."""
    bins = (parameters.shape[-1] + 1) // 3
    # bins first: everything below then runs over long rows, twice as fast as over rows of K
    raw = parameters.movedim(parameters.ndim - 1, 0).contiguous()
    knots = _inner_knots(raw[: 2 * bins].unflatten(0, (2, bins)), bound)
    slopes = (raw[2 * bins :] + IDENTITY_SLOPE).unsqueeze(0)
    ends = knots.new_tensor([[-bound, -bound, IDENTITY_SLOPE], [bound, bound, IDENTITY_SLOPE]])
    first, last = ends.view(2, 3, 1, *[1] * at.ndim).expand(2, 3, 1, *at.shape)
    table = torch.cat((first, torch.cat((knots, slopes)), last), dim=1)
    index = (at >= knots[int(inverse)].detach()).sum(0)
    both = torch.stack((index, index + 1)).expand(3, 2, *at.shape)
    (x_low, x_high), (y_low, y_high), raw_slopes = table.gather(1, both)
    slope_low, slope_high = MIN_SLOPE + F.softplus(raw_slopes)
    return _Bin(x_low, x_high, y_low, y_high, slope_low, slope_high)


def _inner_knots(raw: Tensor, bound: float) -> Tensor:
    """Turns raw bin sizes `(2, K, ...)` into the knots between the bins, `(2, K - 1, ...)`."""
    bins = raw.shape[1]
    filled = raw.softmax(1)[:, :-1].cumsum(1)
    smallest = torch.arange(1, bins, device=raw.device, dtype=raw.dtype) * MIN_BIN
    smallest = smallest.view(1, bins - 1, *[1] * (raw.ndim - 2))
    return ((1 - MIN_BIN * bins) * filled + smallest) * (2 * bound) - bound


def _solve(
    above: Tensor, height: Tensor, mean_slope: Tensor, slope_low: Tensor, bend: Tensor
) -> Tensor:
    """Finds where in its bin the spline reaches `above` the lower knot (the stable root)."""
    a = height * (mean_slope - slope_low) + above * bend
    b = height * slope_low - above * bend
    c = -mean_slope * above
    # rounding can push a zero discriminant below zero
    discriminant = (b.square() - 4 * a * c).clamp_min(0)
    return (2 * c / (-b - discriminant.sqrt())).clamp(0, 1)


class SplineCoupling(InvertibleModule):  # type: ignore[misc]
    """Transforms half of the vector by splines whose shape depends on the other half.

    With a vector of length 1 there is nothing to depend on: the spline is then free.
    """

    def __init__(
        self,
        dims_in: Iterable[tuple[int]],
        dims_c: Iterable[tuple[int]] | None = None,
        *,
        subnet_constructor: Callable[[int, int], nn.Module],
        bins: int = 8,
        bound: float = 5.0,
    ) -> None:
        """Builds the coupling.

        Args:
            dims_in: FrEIA's list with one shape, `[(size,)]`.
            dims_c: conditions; none are used.
            subnet_constructor: `(inputs, outputs) -> module` that computes spline parameters.
            bins: bins of each spline.
            bound: the splines act in `[-bound, bound]`.
        """
        super().__init__(dims_in, dims_c)
        size = self.dims_in[0][0]
        self.kept = size // 2
        self.bins = bins
        self.bound = bound
        outputs = (size - self.kept) * (3 * bins - 1)
        self.subnet = subnet_constructor(self.kept, outputs) if self.kept else None
        self.free = None if self.kept else nn.Parameter(torch.zeros(1, outputs))

    def forward(
        self, x_or_z: list[Tensor], c: object = None, rev: bool = False, jac: bool = True
    ) -> tuple[tuple[Tensor], Tensor]:
        """Maps `(batch, size)` either way; returns it and the log-determinant `(batch,)`."""
        del c, jac
        kept, moved = x_or_z[0][:, : self.kept], x_or_z[0][:, self.kept :]
        raw = self.subnet(kept) if self.subnet is not None else self.free
        parameters = raw.view(-1, moved.shape[1], 3 * self.bins - 1)  # type: ignore[union-attr]
        parameters = parameters.expand(moved.shape[0], -1, -1)
        moved, log_slope = rational_quadratic_spline(
            moved, parameters, bound=self.bound, inverse=rev
        )
        return (torch.cat((kept, moved), dim=1),), log_slope.sum(1)

    def output_dims(self, input_dims: list[tuple[int]]) -> list[tuple[int]]:
        """Returns the shapes unchanged."""
        return input_dims


class LinearLU(InvertibleModule):  # type: ignore[misc]
    """Trainable invertible linear layer `P (L U x + b)` with a fixed permutation P.

    Kingma & Dhariwal, "Glow", arXiv:1807.03039, section 3.2. The diagonal of U is
    kept positive by an exponential, so the determinant is its plain product.
    """

    def __init__(
        self, dims_in: Iterable[tuple[int]], dims_c: Iterable[tuple[int]] | None = None
    ) -> None:
        """Builds the layer as a random permutation (torch's generator)."""
        super().__init__(dims_in, dims_c)
        size = self.dims_in[0][0]
        self.register_buffer("permutation", torch.randperm(size))
        self.lower = nn.Parameter(torch.zeros(size, size))
        self.upper = nn.Parameter(torch.zeros(size, size))
        self.log_diagonal = nn.Parameter(torch.zeros(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def resolved(self) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the layer as `W x + b`: W `(size, size)`, b `(size,)` and log|det W| `()`."""
        lower, upper = self._factors()
        weight = (lower @ upper)[self.permutation]
        return weight, self.bias[self.permutation], self.log_diagonal.sum()

    def _factors(self) -> tuple[Tensor, Tensor]:
        identity = torch.eye(len(self.bias), dtype=self.bias.dtype, device=self.bias.device)
        upper = self.upper.triu(1) + torch.diag(self.log_diagonal.exp())
        return self.lower.tril(-1) + identity, upper

    def forward(
        self, x_or_z: list[Tensor], c: object = None, rev: bool = False, jac: bool = True
    ) -> tuple[tuple[Tensor], Tensor]:
        """Maps `(batch, size)` either way; returns it and the log-determinant `(batch,)`."""
        del c, jac
        lower, upper = self._factors()
        x = x_or_z[0]
        log_determinant = self.log_diagonal.sum().expand(x.shape[0])
        if not rev:
            y = x @ (lower @ upper).T + self.bias
            return (y[:, self.permutation],), log_determinant
        y = x[:, self.permutation.argsort()] - self.bias
        y = torch.linalg.solve_triangular(lower, y.T, upper=False, unitriangular=True)
        return (torch.linalg.solve_triangular(upper, y, upper=True).T,), -log_determinant

    def output_dims(self, input_dims: list[tuple[int]]) -> list[tuple[int]]:
        """Returns the shapes unchanged."""
        return input_dims


class Permute(InvertibleModule):  # type: ignore[misc]
    """A fixed random permutation drawn from torch's generator, so that a seed fixes it.

    FrEIA's own draws from NumPy's global generator, which `torch.manual_seed` does not fix.
    """

    def __init__(
        self, dims_in: Iterable[tuple[int]], dims_c: Iterable[tuple[int]] | None = None
    ) -> None:
        """Draws the permutation."""
        super().__init__(dims_in, dims_c)
        self.register_buffer("permutation", torch.randperm(self.dims_in[0][0]))

    def forward(
        self, x_or_z: list[Tensor], c: object = None, rev: bool = False, jac: bool = True
    ) -> tuple[tuple[Tensor], Tensor]:
        """Permutes `(batch, size)` either way; the log-determinant `(batch,)` is 0."""
        del c, jac
        x = x_or_z[0]
        order = self.permutation.argsort() if rev else self.permutation
        return (x[:, order],), x.new_zeros(x.shape[0])

    def output_dims(self, input_dims: list[tuple[int]]) -> list[tuple[int]]:
        """Returns the shapes unchanged."""
        return input_dims
