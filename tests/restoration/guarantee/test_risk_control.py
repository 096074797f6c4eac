"""The bound and the factor on samples whose risk is known."""

import pytest
import torch

from paecli.restoration.guarantee.risk_control import FACTORS, choose_factor, upper_bound
from paecli.system.errors import UsageError


def test_the_bound_is_too_low_as_seldom_as_it_says() -> None:
    for concentration in (0.5, 20.0):
        torch.manual_seed(0)
        beta = torch.distributions.Beta(0.1 * concentration, 0.9 * concentration)
        losses = beta.sample((60, 400))  # of mean .1
        bounds = upper_bound(losses, failure=0.1)
        assert (bounds < 0.1).float().mean() <= 0.1 + 3 * (0.09 / 400) ** 0.5
        assert bounds.median() < 0.25


def test_the_bound_knows_how_much_samples_differ() -> None:
    same, two = torch.full((100, 1), 0.1), torch.zeros(100, 1)
    two[::10] = 1  # the same mean
    assert upper_bound(same).item() < upper_bound(two).item() < 0.3
    assert upper_bound(torch.zeros(100, 1)).item() < 0.05
    assert upper_bound(torch.ones(100, 1)).item() > 0.999


def test_intervals_of_fresh_images_hold_what_was_promised() -> None:
    """Images whose pixels are off by widths of their own: 100 times 60 set the factor."""
    draw = torch.Generator().manual_seed(1)

    def ratios(count: int) -> list[torch.Tensor]:
        scale = (0.5 * torch.randn(count, 1, generator=draw)).exp()
        return list((scale * torch.randn(count, 80, generator=draw)).abs())

    fresh = torch.cat(ratios(2000))
    held = [(fresh <= choose_factor(ratios(60), 0.8)).float().mean().item() for _ in range(40)]
    assert sum(share < 0.8 for share in held) <= 9  # 4 of 40 are allowed for
    assert sum(held) / 40 < 0.95


def test_the_expected_loss_of_the_next_image_is_promised_whatever_their_order() -> None:
    """Conformal risk control, arXiv:2208.02814, equation 4: (sum of losses + 1) / (n + 1)."""
    ratios = [torch.zeros(5)] * 900 + [torch.full((5,), 1e3)] * 100  # the bound bets on the first
    assert upper_bound(torch.cat((torch.zeros(900, 1), torch.ones(100, 1)))).item() < 0.05
    assert choose_factor(ratios, 1 - 101 / 1001 - 1e-4) == FACTORS[0].item()
    with pytest.raises(UsageError, match="cannot promise"):
        choose_factor(ratios, 1 - 101 / 1001 + 1e-4)


def test_too_few_images_cannot_promise() -> None:
    with pytest.raises(UsageError, match="10 held-out images cannot promise"):
        choose_factor([torch.ones(5)] * 10, 0.9)
    assert choose_factor([torch.zeros(5)] * 100, 0.9) == FACTORS[0].item()
