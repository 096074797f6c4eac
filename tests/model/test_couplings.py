"""Couplings and the linear layers between them, in float64 unless precision is the point."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from paecli.model.couplings import LinearLU, Permute, SplineCoupling, rational_quadratic_spline

BOUND = 5.0


def random_spline(*, values: int = 200, bins: int = 8, spread: float = 1.5) -> Tensor:
    """One spline, `(values, 3 bins - 1)`: the same parameters for each value."""
    return (spread * torch.randn(3 * bins - 1, dtype=torch.float64)).expand(values, -1)


def test_zero_parameters_give_the_identity() -> None:
    x = torch.linspace(-8, 8, 101, dtype=torch.float64)
    y, log_slope = rational_quadratic_spline(x, x.new_zeros(101, 23), bound=BOUND)
    torch.testing.assert_close(y, x)
    torch.testing.assert_close(log_slope, torch.zeros_like(x))


def test_tails_are_the_identity_and_join_without_a_step_or_a_kink() -> None:
    outside = torch.tensor([-100.0, -BOUND, BOUND, 7.5], dtype=torch.float64)
    y, log_slope = rational_quadratic_spline(outside, random_spline(values=4), bound=BOUND)
    assert torch.equal(y, outside)
    assert torch.equal(log_slope, torch.zeros_like(outside))
    just_inside = torch.tensor([-BOUND + 1e-9, BOUND - 1e-9], dtype=torch.float64)
    y, log_slope = rational_quadratic_spline(just_inside, random_spline(values=2), bound=BOUND)
    torch.testing.assert_close(y, just_inside, atol=1e-7, rtol=0)
    torch.testing.assert_close(log_slope, torch.zeros_like(y), atol=1e-4, rtol=0)


def test_spline_rises_everywhere() -> None:
    x = torch.linspace(-6, 6, 2000, dtype=torch.float64)
    y, _ = rational_quadratic_spline(x, random_spline(values=2000), bound=BOUND)
    assert (y.diff() > 0).all()


@pytest.mark.parametrize("inverse", [False, True])
def test_log_slope_is_the_derivative(inverse: bool) -> None:
    x = torch.linspace(-5.9, 5.9, 300, dtype=torch.float64, requires_grad=True)
    parameters = random_spline(values=300)
    y, log_slope = rational_quadratic_spline(x, parameters, bound=BOUND, inverse=inverse)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(log_slope, slope.log(), atol=1e-8, rtol=1e-8)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    bins=st.integers(1, 12),
    bound=st.floats(0.5, 20),
    spread=st.floats(0, 3),
)
def test_inverse_undoes_the_spline(seed: int, bins: int, bound: float, spread: float) -> None:
    torch.manual_seed(seed)
    x = 2 * bound * (2 * torch.rand(50, dtype=torch.float64) - 1)
    parameters = random_spline(values=50, bins=bins, spread=spread)
    y, log_slope = rational_quadratic_spline(x, parameters, bound=bound)
    back, back_slope = rational_quadratic_spline(y, parameters, bound=bound, inverse=True)
    torch.testing.assert_close(back, x, atol=1e-7 * bound, rtol=0)
    torch.testing.assert_close(back_slope, -log_slope, atol=1e-4, rtol=0)


def test_extreme_parameters_stay_finite() -> None:
    x = torch.linspace(-5, 5, 50).requires_grad_()
    parameters = (200 * torch.randn(50, 23)).requires_grad_()
    for inverse in (False, True):
        y, log_slope = rational_quadratic_spline(x, parameters, bound=BOUND, inverse=inverse)
        gradients = torch.autograd.grad(y.sum() + log_slope.sum(), (x, parameters))
        assert all(part.isfinite().all() for part in (y, log_slope, *gradients))


def test_coupling_keeps_one_half_and_bends_the_other() -> None:
    coupling = SplineCoupling([(5,)], subnet_constructor=torch.nn.Linear).double()
    x = torch.randn(6, 5, dtype=torch.float64)
    (y,), _ = coupling([x])
    assert torch.equal(y[:, :2], x[:, :2])
    assert not torch.allclose(y[:, 2:], x[:, 2:])


def test_coupling_of_one_value_has_a_spline_of_its_own() -> None:
    coupling = SplineCoupling([(1,)], subnet_constructor=torch.nn.Linear).double()
    torch.nn.init.normal_(coupling.free)
    x = torch.randn(7, 1, dtype=torch.float64)
    (y,), log_determinant = coupling([x])
    (back,), _ = coupling([y], rev=True)
    torch.testing.assert_close(back, x)
    assert log_determinant.shape == (7,)


def disturbed(layer: LinearLU) -> LinearLU:
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return layer.double()


def test_lu_layer_starts_as_a_permutation() -> None:
    x = torch.randn(4, 6)
    (y,), log_determinant = LinearLU([(6,)])([x])
    torch.testing.assert_close(y.sort().values, x.sort().values)
    assert torch.equal(log_determinant, torch.zeros(4))


@pytest.mark.parametrize("size", [1, 2, 7])
def test_lu_layer_inverts_and_knows_its_determinant(size: int) -> None:
    layer = disturbed(LinearLU([(size,)]))
    x = torch.randn(3, size, dtype=torch.float64)

    def apply(row: Tensor) -> Tensor:
        result: Tensor = layer([row.unsqueeze(0)])[0][0][0]
        return result

    (y,), log_determinant = layer([x])
    (back,), back_determinant = layer([y], rev=True)
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(back_determinant, -log_determinant)
    jacobian = torch.autograd.functional.jacobian(apply, x[0])
    torch.testing.assert_close(log_determinant[0], torch.linalg.slogdet(jacobian).logabsdet)


def test_permute_inverts_and_follows_torch_seed() -> None:
    torch.manual_seed(3)
    first = Permute([(9,)])
    torch.manual_seed(3)
    second = Permute([(9,)])
    x = torch.randn(2, 9)
    (y,), log_determinant = first([x])
    assert torch.equal(second([y], rev=True)[0][0], x)
    assert torch.equal(log_determinant, torch.zeros(2))
