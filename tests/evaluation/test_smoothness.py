import pytest
import torch
from torch import Tensor

from paecli.evaluation.smoothness import interpolation, lines_between


def test_lines_run_from_start_to_end_in_even_steps() -> None:
    start, end = torch.zeros(2, 3), torch.ones(2, 3)
    points = lines_between(start, end, steps=4)
    assert points.shape == (2, 5, 3)
    assert points[0, :, 0].tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_a_cross_fade_is_even_and_direct(blobs: Tensor) -> None:
    frames = lines_between(blobs[:4].flatten(1), blobs[4:8].flatten(1), steps=5)
    result = interpolation(frames.view(4, 6, 1, 28, 28))
    assert result.largest_step == pytest.approx(1, abs=1e-4)
    assert result.detour == pytest.approx(1, abs=1e-4)
    assert (result.lines, result.steps) == (4, 5)


def test_a_jump_is_seen() -> None:
    frames = torch.zeros(1, 11, 1, 4, 4)
    frames[:, 6:] = 1
    assert interpolation(frames).largest_step == pytest.approx(10)


def test_a_way_through_another_image_is_a_detour() -> None:
    frames = torch.zeros(1, 3, 1, 1, 2)
    frames[0, 1, 0, 0, 1] = 1
    frames[0, 2, 0, 0, 0] = 1
    # the first step is 1 pixel long, the second crosses the diagonal
    assert interpolation(frames).detour == pytest.approx(1 + 2**0.5)


def test_equal_ends_give_finite_figures() -> None:
    result = interpolation(torch.zeros(2, 4, 1, 3, 3))
    assert result.largest_step == 0
    assert result.detour == 0
