import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from paecli.evaluation.flow_fit import (
    BOOTSTRAP,
    _auroc_interval,
    measure_base_fit,
    two_sample_test,
)


def test_equal_distributions_cannot_be_told_apart() -> None:
    result = two_sample_test(torch.randn(1000, 4), torch.randn(1000, 4))
    assert result.auroc_ci[0] <= 0.5 <= result.auroc_ci[1] + 0.02
    assert result.accuracy == pytest.approx(0.5, abs=0.06)
    assert result.held_out == 1000


@pytest.mark.parametrize("change", ["shift", "correlation"])
def test_a_difference_is_found(change: str) -> None:
    generated = torch.randn(1000, 4)
    if change == "shift":
        generated[:, 2] += 1
    else:
        generated[:, 1] = generated[:, 0]
    result = two_sample_test(torch.randn(1000, 4), generated)
    assert result.auroc > 0.65
    assert result.auroc_ci[0] > 0.55
    assert result.accuracy_ci[0] > 0.53


def test_the_two_sample_test_repeats_itself() -> None:
    real, generated = torch.randn(200, 3), torch.randn(150, 3)
    first, second = (two_sample_test(real, generated, seed=3) for _ in range(2))
    assert first == second


def test_the_interval_is_that_of_resampled_pairs() -> None:
    draws = np.random.default_rng(3)
    y = draws.integers(0, 2, 300)
    scores = np.round(draws.normal(size=300) + 0.4 * y, 1)  # with ties
    low, high = _auroc_interval(y, scores, seed=5)
    again = np.random.default_rng(5)
    samples = [again.integers(300, size=300) for _ in range(BOOTSTRAP)]
    expected = [roc_auc_score(y[each], scores[each]) for each in samples]
    assert (low, high) == pytest.approx(np.percentile(expected, [2.5, 97.5]), rel=1e-12)


def test_standard_normal_vectors_pass() -> None:
    result = measure_base_fit(torch.randn(4000, 8))
    assert result.largest_mean < 0.06
    assert 0.95 < result.smallest_std <= result.largest_std < 1.05
    assert result.largest_correlation < 0.08
    assert result.ks_p_value > 0.001
    assert result.radius_mean == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(
    ("spoil", "name", "limit"),
    [
        (lambda u: u + 0.5 * (torch.arange(8) == 3), "largest_mean", 0.4),
        (lambda u: u * (1 + (torch.arange(8) == 3)), "largest_std", 1.8),
        (lambda u: u.exp(), "largest_skewness", 1.0),
        (lambda u: u**3, "largest_excess_kurtosis", 3.0),
        (lambda u: u[:, :1] + 0 * u + 0.1 * torch.randn_like(u), "largest_correlation", 0.9),
        (lambda u: 1.5 * u, "radius_mean", 2.0),
        (lambda u: 1.5 * u, "radius_ks", 0.5),
        (lambda u: u.sign(), "largest_ks", 0.3),
    ],
)
def test_each_departure_is_seen(spoil, name: str, limit: float) -> None:
    result = measure_base_fit(spoil(torch.randn(2000, 8)))
    assert getattr(result, name) > limit


def test_one_dimension_has_no_correlations() -> None:
    assert measure_base_fit(torch.randn(100, 1)).largest_correlation == 0
