import json

import pytest
import torch

from paecli.restoration.samplers.diagnostics import effective_sample_size, rhat

from .arviz_values import VALUES, chains

FROZEN = json.loads(VALUES.read_text())["chains"]


@pytest.mark.parametrize("name", FROZEN)
def test_both_are_those_of_arviz(name: str) -> None:
    draws = torch.from_numpy(chains()[name])
    assert float(rhat(draws)) == pytest.approx(FROZEN[name]["rhat"], rel=1e-9)
    assert float(effective_sample_size(draws)) == pytest.approx(FROZEN[name]["ess"], rel=1e-9)


def test_every_quantity_is_judged_by_itself() -> None:
    names = ("independent", "correlation 0.9")
    draws = torch.stack([torch.from_numpy(chains()[name][:250, :4]) for name in names], dim=-1)
    for judge in (rhat, effective_sample_size):
        alone = torch.stack([judge(draws[..., index]) for index in range(2)])
        torch.testing.assert_close(judge(draws), alone)


def test_independent_draws_agree_and_count_fully() -> None:
    draws = torch.randn(500, 8, 3)
    assert bool((rhat(draws) < 1.01).all())
    torch.testing.assert_close(
        effective_sample_size(draws),
        torch.full((3,), 4000.0, dtype=torch.float64),
        rtol=0.2,
        atol=0,
    )


def test_chains_at_different_places_or_widths_disagree() -> None:
    places = torch.randn(200, 4) + torch.tensor([0.0, 0.0, 0.0, 3.0])
    widths = torch.randn(200, 4) * torch.tensor([1.0, 1.0, 1.0, 5.0])
    assert float(rhat(places)) > 1.2
    assert float(rhat(widths)) > 1.1  # only the folded form sees this


@pytest.mark.parametrize("correlation", [0.5, 0.9])
def test_autocorrelated_chains_count_as_theory_says(correlation: float) -> None:
    steps, chains = 4000, 8
    noise = torch.randn(steps, chains, dtype=torch.float64) * (1 - correlation**2) ** 0.5
    draws = [torch.randn(chains, dtype=torch.float64)]
    for each in noise:
        draws.append(correlation * draws[-1] + each)
    expected = steps * chains * (1 - correlation) / (1 + correlation)
    found = float(effective_sample_size(torch.stack(draws[1:])))
    assert found == pytest.approx(expected, rel=0.25)
