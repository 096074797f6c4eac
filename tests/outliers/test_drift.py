"""The martingale keeps its promise without drift and finds it with drift."""

import numpy as np
import pytest

from paecli.outliers.drift import (
    BETS,
    DriftDetector,
    ExchangeablePValues,
    Martingales,
    bets,
    largest_average,
)

SCORES = ("a", "b")


def test_bets_are_fair() -> None:
    # midpoints, finer where the powers rise; the strongest has an integrable pole at 0
    grid = np.concatenate((np.geomspace(1e-12, 1e-3, 4000), np.linspace(1e-3, 1, 4000)[1:]))
    grid = np.concatenate((grid[grid < 0.5], 1 - grid[grid < 0.5][::-1]))
    values = bets(grid)
    integrals = ((values[1:] + values[:-1]) / 2 * np.diff(grid)[:, None]).sum(0)
    ends = 1e-12 ** np.array((0.1, 0.3, 0.5, 0.7, 0.85))  # below the first and above the last
    integrals[:5] += ends
    integrals[5:10] += ends
    assert integrals == pytest.approx(np.ones(BETS), abs=2e-3)


@pytest.mark.parametrize("tolerance", [0.05, 0.2])
def test_bets_are_fair_at_the_edge_of_a_tolerance(tolerance: float) -> None:
    uniform = (np.arange(200_000) + 0.5) / 200_000
    worst = largest_average(np.array([tolerance]))
    averages = [
        (bets(p, tolerance) / worst).mean(0)
        for p in (np.maximum(uniform - tolerance, 0), np.minimum(uniform + tolerance, 1), uniform)
    ]
    on_small = [0, 1, 2, 3, 4, 10, 11]
    on_large = [5, 6, 7, 8, 9, 12, 13]
    assert averages[0][on_small] == pytest.approx(np.ones(7), abs=1e-3)
    assert averages[1][on_large] == pytest.approx(np.ones(7), abs=1e-3)
    assert max(averages[0][on_large].max(), averages[1][on_small].max(), averages[2].max()) < 1


def test_p_values_are_uniform_and_independent_against_a_small_reference() -> None:
    generator = np.random.default_rng(0)
    sums, pairs = [], []
    for _ in range(200):
        scores = generator.normal(size=120).round(1)  # with ties
        stream = ExchangeablePValues(scores[:20].tolist())
        p = [stream.add(s, d) for s, d in zip(scores[20:], generator.random(100), strict=True)]
        sums.append(np.mean(p))
        pairs.append(np.mean((np.array(p[1:]) - 0.5) * (np.array(p[:-1]) - 0.5)))
    # 100 independent uniform numbers have a mean of standard deviation .0289; against a fixed set
    # of 20 it would be .07
    assert np.std(sums) == pytest.approx(0.0289, rel=0.15)
    assert np.mean(sums) == pytest.approx(0.5, abs=0.006)
    assert np.mean(pairs) == pytest.approx(0, abs=0.002)


def test_false_alarms_stay_below_the_promise() -> None:
    alarms = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        reference = generator.normal(size=(50, 2))
        detector = DriftDetector(
            dict(zip(SCORES, reference.T.tolist(), strict=True)), false_alarm=0.1, seed=seed
        )
        for row in generator.normal(size=(300, 2)):
            if detector.add(dict(zip(SCORES, row.tolist(), strict=True))):
                alarms += 1
                break
    assert alarms <= 200 * 0.1 + 2 * (200 * 0.1 * 0.9) ** 0.5


def stream_of(rows: np.ndarray, detector: DriftDetector) -> DriftDetector:
    for row in rows:
        detector.add(dict(zip(SCORES, row.tolist(), strict=True)))
    return detector


@pytest.mark.parametrize("before", [0, 100, 1000])
@pytest.mark.parametrize("shift", [0.7, -0.7])
def test_a_shift_is_found_soon_after_it_comes(before: int, shift: float) -> None:
    generator = np.random.default_rng(1)
    reference = generator.normal(size=(1000, 2))
    detector = DriftDetector(dict(zip(SCORES, reference.T.tolist(), strict=True)), baseline=500)
    rows = generator.normal(size=(before + 300, 2))
    rows[before:, 1] += shift
    stream_of(rows, detector)
    assert detector.alarm is not None
    assert before < detector.alarm <= before + 300
    assert detector.score == "b"
    assert detector.from_start == (before < 1000)
    assert detector.evidence >= 0


def test_a_change_is_told_from_the_images_before_it_where_nothing_else_is_known() -> None:
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(300, 2))
    rows[100:, 1] += 1
    detector = stream_of(rows, DriftDetector({"a": [], "b": []}, baseline=500))
    assert detector.alarm is not None
    assert detector.alarm > 100
    assert not detector.from_start


def test_outliers_now_and_then_are_no_drift() -> None:
    generator = np.random.default_rng(2)
    detector = DriftDetector({"a": generator.normal(size=1000).tolist()})
    for index, value in enumerate(generator.normal(size=1000)):
        detector.add({"a": 9.0 if index % 100 == 50 else value})
    assert detector.alarm is None


@pytest.mark.parametrize(("baseline", "found"), [(100, False), (0, True)])
def test_a_small_difference_from_the_model_is_no_drift_but_where_it_is_asked_for(
    baseline: int, found: bool
) -> None:
    generator = np.random.default_rng(3)
    detector = DriftDetector({"a": generator.normal(size=1000).tolist()}, baseline=baseline)
    for value in 0.3 + generator.normal(size=1200):
        detector.add({"a": value})
    assert detector.count == 1200
    assert (detector.alarm is not None) == found


def test_a_difference_within_the_tolerance_is_no_drift_and_a_larger_one_is() -> None:
    known = {"a": np.random.default_rng(0).normal(size=2500).tolist()}
    alarms = {}
    for shift, tolerance in ((0.45, 0.0), (0.45, 0.2), (1.2, 0.2), (-1.2, 0.2)):
        alarms[shift, tolerance] = 0
        for seed in range(5):
            detector = DriftDetector(known, tolerance={"a": tolerance}, baseline=300, seed=seed)
            for value in np.random.default_rng(1 + seed).normal(shift, 1, 300):
                detector.add({"a": value})
            alarms[shift, tolerance] += detector.from_start
    # Kolmogorov's distances are .18 and .45
    assert alarms == {(0.45, 0.0): 5, (0.45, 0.2): 0, (1.2, 0.2): 5, (-1.2, 0.2): 5}


def test_a_tolerance_is_for_the_comparison_with_known_images_alone() -> None:
    rows = np.random.default_rng(1).normal(size=1200)
    rows[500:] += 0.5
    detector = DriftDetector({"a": []}, tolerance={"a": 0.3}, baseline=500)
    for value in rows:
        detector.add({"a": value})
    assert detector.alarm is not None
    assert detector.alarm > 500


def test_wealth_starts_at_one_and_keeps_what_is_laid_by() -> None:
    martingales = Martingales(3)
    assert martingales.log_wealth == pytest.approx(np.zeros(3))
    for p in ([0.0, 1.0, 0.5], [1.0, 0.0, 0.5], [0.5, 0.0, 0.5]):
        martingales.add(np.array(p))
        assert np.isfinite(martingales.log_wealth).all()
    alone = Martingales(1)
    for value in (1.0, 0.0, 0.0):
        alone.add(np.array([value]))
    assert alone.log_wealth[0] == pytest.approx(martingales.log_wealth[1])
    assert alone.log_wealth[0] > martingales.log_wealth[2]
