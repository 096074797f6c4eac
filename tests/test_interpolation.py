import pytest
import torch
from torch.testing import assert_close

from paecli.interpolation import spherical_path


def test_path_starts_and_ends_where_it_should() -> None:
    start, end = torch.randn(2, 16, dtype=torch.float64)
    path = spherical_path(start, end, steps=7)
    assert path.shape == (7, 16)
    assert_close(path[0], start)
    assert_close(path[-1], end)


def test_length_changes_linearly_and_the_angle_too() -> None:
    start, end = torch.randn(2, 16, dtype=torch.float64)
    path = spherical_path(start, 3 * end, steps=6)
    expected = torch.linspace(start.norm().item(), 3 * end.norm().item(), 6, dtype=torch.float64)
    assert_close(path.norm(dim=1), expected)
    angles = torch.cosine_similarity(path[1:], path[:-1]).acos()
    assert_close(angles, angles[:1].expand(5))


def test_middle_stays_as_far_out_as_draws_do() -> None:
    start, end = torch.randn(2, 400, dtype=torch.float64)
    middle = spherical_path(start, end, steps=3)[1].norm()
    assert 0.9 * 400**0.5 < middle < 1.1 * 400**0.5
    assert torch.lerp(start, end, 0.5).norm() < 0.8 * 400**0.5


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0])
def test_vectors_without_a_plane_give_the_straight_line(factor: float) -> None:
    start = torch.randn(8)
    path = spherical_path(start, factor * start, steps=5)
    assert path.isfinite().all()
    assert_close(path, torch.lerp(start, factor * start, torch.linspace(0, 1, 5)[:, None]))
