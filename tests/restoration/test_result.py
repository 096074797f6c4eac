"""Intervals and their coverage, against closed forms."""

import pytest
import torch
from torch import Tensor

from paecli.restoration.result import LEVELS, Diagnostics, Restoration

DRAWS = 20


def restoration(predictive: Tensor) -> Restoration:
    """Returns one of which only the predictive draws `(s, c, h, w)` mean anything."""
    image = predictive[0]
    return Restoration(
        map=image, mean=image, std=image, samples=predictive, samples_u=torch.zeros(DRAWS, 1),
        predictive=predictive, modes=(), chi2=0.0, degrees_of_freedom=0,
        diagnostics=Diagnostics(None, None, 1.0, None), method="smc", note="", seconds=0.0,
    )  # fmt: skip


def spread_evenly(width: int) -> Tensor:
    """Returns draws `(s, 1, 1, width)` at the middles of `s` equal parts of [0, 1]."""
    return ((torch.arange(DRAWS) + 0.5) / DRAWS).view(-1, 1, 1, 1).expand(-1, 1, 1, width)


def test_coverage_of_a_uniform_truth_is_its_closed_form() -> None:
    """Of s + 1 gaps between s draws those count that have enough draws on either side."""
    truth = ((torch.arange(1000) + 0.5) / 1000).view(1, 1, -1)
    found = restoration(spread_evenly(1000)).coverage(truth, torch.ones_like(truth).bool())
    # k draws lie below a truth from (k - 1/2) / s to (k + 1/2) / s
    assert LEVELS == (0.5, 0.8, 0.95)
    assert found == pytest.approx({0.5: 11 / 20, 0.8: 17 / 20, 0.95: 19 / 20}, abs=1e-6)


def test_coverage_counts_only_the_pixels_among_those_asked() -> None:
    truth = torch.tensor([[[0.5, 0.5, 0.999]]])
    result = restoration(spread_evenly(3))
    among = torch.tensor([[[True, True, False]]])
    assert result.coverage(truth, among)[0.5] == 1
    assert result.coverage(truth, ~among)[0.95] == 0
    assert result.coverage(truth, among | True)[0.8] == pytest.approx(2 / 3)


@pytest.mark.parametrize("black", [4, 10, 20])
@pytest.mark.parametrize("end", [0.0, 1.0])
def test_a_pixel_at_the_end_counts_by_its_part_of_the_jump(black: int, end: float) -> None:
    """As many of the draws are exactly 0 (or 1), as the truth is: the jump there is shared."""
    predictive = torch.full((DRAWS, 1, 1, 1), 0.5)
    predictive[:black] = end
    jump = black / DRAWS
    found = restoration(predictive).coverage(torch.full((1, 1, 1), end), torch.ones(1, 1, 1).bool())
    for level, share in found.items():
        tail = (1 - level) / 2
        inside = min(jump, 1 - tail) - tail
        assert share == pytest.approx(max(0, inside) / jump, abs=1e-6)


@pytest.mark.parametrize("level", LEVELS)
def test_an_interval_has_its_share_of_the_draws(level: float) -> None:
    draws = torch.rand(999, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    low, high = restoration(draws).interval(level)
    assert low.shape == high.shape == (1, 2, 3)
    for end, probability in ((low, (1 - level) / 2), (high, (1 + level) / 2)):
        torch.testing.assert_close(
            (draws <= end).float().mean(0), torch.full((1, 2, 3), probability), atol=0.002, rtol=0
        )
