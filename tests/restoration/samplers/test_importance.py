import json

import pytest
import torch
from scipy.stats import genpareto

from paecli.restoration.samplers.importance import fit_pareto, pareto_quantile, pareto_smooth

from .arviz_values import VALUES, log_ratios

FROZEN = json.loads(VALUES.read_text())["log_ratios"]


@pytest.mark.parametrize("name", FROZEN)
def test_smoothed_weights_and_shape_are_those_of_arviz(name: str) -> None:
    weights, shape = pareto_smooth(torch.from_numpy(log_ratios()[name]))
    assert shape == pytest.approx(FROZEN[name]["pareto_k"], rel=1e-9)
    assert weights.sum() == pytest.approx(1)
    largest = weights.sort(descending=True).values[:3].tolist()
    assert largest == pytest.approx(FROZEN[name]["largest"], rel=1e-9)


@pytest.mark.parametrize("shape", [-0.2, 0.3, 0.8])
def test_the_fit_finds_the_shape_of_pareto_draws(shape: float) -> None:
    draws = genpareto.rvs(shape, scale=2.0, size=4000, random_state=0)
    found, scale = fit_pareto(torch.tensor(draws).sort().values)
    assert found == pytest.approx(shape, abs=0.08)
    assert scale == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.7])
def test_quantiles_are_those_of_scipy(shape: float) -> None:
    at = torch.linspace(0.01, 0.99, 20, dtype=torch.float64)
    expected = torch.tensor(genpareto.ppf(at.numpy(), shape, scale=1.5))
    torch.testing.assert_close(pareto_quantile(at, shape=shape, scale=1.5), expected)


def test_equal_ratios_are_perfect() -> None:
    weights, shape = pareto_smooth(torch.full((500,), -3.0))
    assert shape == 0.0
    torch.testing.assert_close(weights, torch.full((500,), 1 / 500, dtype=torch.float64))


def test_a_narrow_proposal_is_found_out_and_a_wide_one_passes() -> None:
    def shape_for(width: float) -> float:
        draws = width * torch.randn(4000, 10, dtype=torch.float64)
        log_ratios = (-0.5 * draws.square() + 0.5 * (draws / width).square()).sum(1)
        return pareto_smooth(log_ratios)[1]

    assert shape_for(0.5) > 0.7
    assert shape_for(1.2) < 0.5


def test_weighted_averages_are_right() -> None:
    draws = 1.5 * torch.randn(20_000, dtype=torch.float64)
    weights, _ = pareto_smooth(-0.5 * (draws - 0.5).square() + 0.5 * (draws / 1.5).square())
    assert weights.sum() == pytest.approx(1)
    assert (weights * draws).sum() == pytest.approx(0.5, abs=0.05)


def test_too_few_draws_are_never_trusted() -> None:
    assert pareto_smooth(torch.zeros(10))[1] == float("inf")
