import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from paecli.outliers.detection_metrics import measure_detection


def test_values_that_are_known_by_hand() -> None:
    found = measure_detection(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.5, 5.0]))
    assert found.auroc == pytest.approx(6 / 8)
    assert found.fpr95 == pytest.approx(2 / 4)  # 2.5 must be flagged, so 3 and 4 are too
    assert found.aupr == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)


def test_perfect_separation_and_none() -> None:
    low, high = np.arange(100.0), np.arange(100.0) + 200
    assert measure_detection(low, high).auroc == 1
    assert measure_detection(low, high).fpr95 == 0
    assert measure_detection(high, low).auroc == 0
    same = measure_detection(np.zeros(50), np.zeros(50))
    assert same.auroc_ci == (0.5, 0.5)


def test_intervals_agree_with_resampling_one_by_one() -> None:
    random = np.random.default_rng(0)
    reference, outliers = random.normal(size=400), random.normal(1, 1, size=300)
    found = measure_detection(reference, outliers)
    labels = np.repeat((0, 1), (400, 300))
    draws = []
    for _ in range(300):
        scores = np.concatenate((random.choice(reference, 400), random.choice(outliers, 300)))
        draws.append((roc_auc_score(labels, scores), average_precision_score(labels, scores)))
    expected = np.quantile(draws, (0.025, 0.975), axis=0)
    np.testing.assert_allclose(found.auroc_ci, expected[:, 0], atol=0.008)
    np.testing.assert_allclose(found.aupr_ci, expected[:, 1], atol=0.012)


def test_bins_of_large_sets_change_little() -> None:
    random = np.random.default_rng(0)
    found = measure_detection(
        random.normal(size=5000), random.normal(1, 1, size=5000), replicates=200
    )
    assert np.mean(found.auroc_ci) == pytest.approx(found.auroc, abs=0.002)
    assert found.auroc_ci[1] - found.auroc_ci[0] == pytest.approx(2 * 1.96 * 0.0043, rel=0.3)
    assert found.fpr95_ci[0] <= found.fpr95 <= found.fpr95_ci[1]


@pytest.mark.parametrize("levels", [2, 3, 5, 20])
@pytest.mark.parametrize("seed", range(4))
def test_figures_of_tied_scores_lie_inside_their_intervals(levels: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    reference = random.integers(0, levels, 300).astype(float)
    outliers = random.integers(0, levels, 200) + random.integers(0, 2, 200).astype(float)
    found = measure_detection(reference, outliers, replicates=200)
    for name in ("auroc", "aupr", "fpr95"):
        low, high = getattr(found, f"{name}_ci")
        assert low <= getattr(found, name) <= high


def test_every_threshold_counts_where_the_curve_is_straight() -> None:
    same = np.repeat(np.arange(40.0), 5)
    found = measure_detection(same, same)
    assert found.fpr95 == pytest.approx(0.95)
    assert found.fpr95_ci[1] < 1
