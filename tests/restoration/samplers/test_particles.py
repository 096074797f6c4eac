import math

import pytest
import torch

from paecli.restoration.samplers.particles import effective_size, log_mean_exp, resample

NAN = float("nan")


def test_particles_are_drawn_as_often_as_they_weigh() -> None:
    weights = torch.tensor([[0.5, 0.25, 0.25, 0.0], [0.0, 0.0, 0.0, 1.0]])
    drawn = resample(weights.log(), 8, torch.Generator().manual_seed(0))
    counts = [torch.bincount(each, minlength=4).tolist() for each in drawn]
    assert counts == [[4, 2, 2, 0], [0, 0, 0, 8]]


def test_a_weight_that_is_nan_is_never_drawn() -> None:
    drawn = resample(torch.tensor([[NAN, 0.0, NAN, 0.0]]), 10, torch.Generator().manual_seed(0))
    assert set(drawn.flatten().tolist()) == {1, 3}


def test_without_any_weight_all_are_as_likely() -> None:
    drawn = resample(torch.full((1, 4), NAN), 8, torch.Generator().manual_seed(0))
    assert torch.bincount(drawn[0]).tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("log_weights", "size"),
    [([0.0, 0.0, 0.0, 0.0], 4.0), ([0.0, -1e4, -1e4, -1e4], 1.0), ([NAN, 0.0, 0.0, NAN], 2.0),
     ([NAN] * 4, 0.0)],
)  # fmt: skip
def test_effective_size(log_weights: list[float], size: float) -> None:
    assert effective_size(torch.tensor([log_weights]))[0] == pytest.approx(size)


def test_mean_of_weights() -> None:
    found = log_mean_exp(torch.tensor([[math.log(1.0), math.log(3.0)], [0.0, NAN]]))
    torch.testing.assert_close(found, torch.tensor([math.log(2.0), math.log(0.5)]))
