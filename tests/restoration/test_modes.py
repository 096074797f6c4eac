"""The search for modes, on posteriors whose modes are known."""

import torch
from torch import Tensor

from paecli.model.base_distribution import StandardGaussian
from paecli.restoration.modes import (
    CLOSE,
    FROM_DRAWS,
    LEAST_PRECISION,
    best,
    cholesky_of_inverse,
    climb,
    climb_on,
    draw_starts,
    finish,
    gauss_newton,
    laplace_precision,
    survivors,
)
from paecli.restoration.target import Target


def straight(u: Tensor) -> Tensor:
    """A decoder that gives the latents themselves."""
    return u.view(-1, 1, 1, u.shape[1])


def linear_target(data: Tensor, sigma: float = 0.5) -> Target:
    """The posterior of latents seen under noise: Gaussian, precision `1 + 1 / sigma^2`."""
    return Target(
        generate=straight, data=data, variance=torch.full_like(data, sigma**2),
        observed=torch.ones_like(data, dtype=torch.bool), latent_size=data.shape[1],
        base=StandardGaussian(data.shape[1]),
    )  # fmt: skip


def test_points_beside_a_better_one_come_last() -> None:
    target = linear_target(torch.zeros(1, 2))
    near = CLOSE * 2**0.5
    line = torch.tensor([0.0, 0.9 * near, 2.5, 1.5, 1.5 + 0.5 * near])
    u = torch.stack((line, torch.zeros(5)), 1)[None]
    ranked = best(target, u, 5)[0, :, 0]
    # 0 and 1.5 have a copy each; of copies the better one stays in its place
    torch.testing.assert_close(ranked, line[[0, 3, 2, 1, 4]])
    assert best(target, u, 2).shape == (1, 2, 2)
    beyond = torch.tensor([[[0.0, 0.0], [1.1 * near, 0.0]]])
    assert torch.equal(best(target, beyond, 2), beyond)


def test_points_without_a_density_come_last() -> None:
    target = linear_target(torch.zeros(1, 1))
    u = torch.tensor([[[torch.nan], [1.0], [0.0]]])
    assert best(target, u, 2)[0, :, 0].tolist() == [0.0, 1.0]


def test_the_temper_decides_what_is_best() -> None:
    target = linear_target(torch.full((1, 1), 4.0), sigma=0.1)
    u = torch.tensor([[[0.0], [4.0]]])
    assert best(target, u, 1).item() == 4.0
    assert best(target, u, 1, temper=1e-9).item() == 0.0


def test_every_search_ends_at_the_mode() -> None:
    data = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.3, 0.3]])
    target = linear_target(data)
    mode = data / (1 + 0.5**2)
    starts = draw_starts(target, count=12, generator=torch.Generator().manual_seed(0))
    assert starts.shape == (2, 12, 3)
    found = climb(target, starts)
    assert found.shape == (2, min(12, survivors(3)), 3)
    torch.testing.assert_close(found[:, 0], mode, atol=0.1, rtol=0)
    near = climb_on(target, mode[:, None] + 0.2 * torch.randn(2, 20, 3))
    assert near.shape == (2, FROM_DRAWS, 3)
    torch.testing.assert_close(near[:, 0], mode, atol=0.1, rtol=0)
    points, level = finish(target, starts)
    torch.testing.assert_close(points, mode[:, None].expand(-1, 12, -1), atol=1e-2, rtol=0)
    torch.testing.assert_close(level, target.log_prob(points))


def test_guesses_are_starts_as_they_are() -> None:
    target = linear_target(torch.zeros(1, 3))
    guesses = torch.full((1, 2, 3), 0.75)
    starts = draw_starts(
        target, count=6, generator=torch.Generator().manual_seed(0), guesses=guesses
    )
    assert sum(bool((each == 0.75).all()) for each in starts[0]) == 2


def test_finishing_never_falls() -> None:
    target = linear_target(torch.tensor([[3.0, 3.0]]))
    u = 2 * torch.randn(1, 6, 2)
    _, level = finish(target, u, steps=1)
    assert (level >= target.log_prob(u)).all()


def test_curvature_and_slope_are_those_of_the_gaussian() -> None:
    data = torch.tensor([[1.0, -1.0]])
    target, u = linear_target(data), torch.tensor([[[0.5, 0.25], [0.0, 2.0]]])
    curvature, slope = gauss_newton(target, u)
    identity = torch.eye(2, dtype=torch.float64)
    torch.testing.assert_close(curvature, (5 * identity).expand(1, 2, 2, 2))
    torch.testing.assert_close(slope, (4 * (data - u) - u).double())
    torch.testing.assert_close(laplace_precision(target, u), (5 * identity).expand(1, 2, 2, 2))


def test_no_direction_is_wider_than_twice_the_prior() -> None:
    def dull(u: Tensor) -> Tensor:
        return 0 * u.view(-1, 1, 1, u.shape[1])

    target = linear_target(torch.zeros(1, 2))
    flat = Target(**vars(target) | {"generate": dull})
    precision = laplace_precision(flat, torch.zeros(1, 1, 2))
    assert (torch.linalg.eigvalsh(precision) >= LEAST_PRECISION - 1e-9).all()


def test_the_factor_is_of_the_inverse() -> None:
    root = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    precision = root @ root.mT + torch.eye(4, dtype=torch.float64)
    factor = cholesky_of_inverse(precision)
    torch.testing.assert_close(factor @ factor.mT, torch.linalg.inv(precision))
    assert torch.equal(factor, factor.tril())
