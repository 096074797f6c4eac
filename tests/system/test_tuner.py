"""The choice of a number of threads, on machines whose speed is made up."""

from collections.abc import Callable

from paecli.system.tuner import LAPS, OLDEST_CHOICE, Tuner


def run(tuner: Tuner, laps: int, seconds: Callable[[int], float], units: int = 1) -> list[int]:
    used = []
    for _ in range(laps):
        used.append(tuner.threads)
        tuner.record(seconds(tuner.threads) * units, units)
    return used


def halves(threads: int) -> float:
    return 0.2 / threads


def doubles(threads: int) -> float:
    return 0.2 * threads


def test_all_numbers_take_turns_and_the_fastest_serves() -> None:
    tuner = Tuner((1, 2, 4))
    used = run(tuner, 3 * (LAPS + 1), halves)
    assert used == [1, 2, 4] * (LAPS + 1)
    assert not tuner.is_trying
    assert tuner.threads == 4


def test_the_first_lap_of_a_number_does_not_count() -> None:
    tuner = Tuner((1, 2))
    warm: set[int] = set()

    def seconds(threads: int) -> float:
        first = threads not in warm
        warm.add(threads)
        return 0.9 if first and threads == 2 else halves(threads)

    run(tuner, 2 * (LAPS + 1), seconds)
    assert tuner.threads == 2


def test_more_threads_must_pay() -> None:
    tuner = Tuner((1, 2))
    run(tuner, 2 * (LAPS + 1), lambda threads: 0.2 if threads == 1 else 0.198)
    assert tuner.threads == 1


def test_short_laps_are_timed_for_longer() -> None:
    tuner = Tuner((1, 2))
    run(tuner, 2 * (LAPS + 1), lambda threads: 0.001)
    assert tuner.is_trying
    run(tuner, 220, lambda threads: 0.001)
    assert not tuner.is_trying


def test_a_long_lap_is_enough() -> None:
    tuner = Tuner((1, 2))
    run(tuner, 2, lambda threads: 4.0 / threads)
    assert not tuner.is_trying
    assert tuner.threads == 2


def test_a_rate_that_falls_asks_again() -> None:
    tuner = Tuner((1, 2))
    run(tuner, 2 * (LAPS + 1), halves)
    assert tuner.threads == 2
    run(tuner, 40, doubles)
    assert tuner.threads == 1


def test_a_rate_that_rises_asks_again() -> None:
    tuner = Tuner((1, 2))
    run(tuner, 2 * (LAPS + 1), doubles)
    assert tuner.threads == 1
    run(tuner, 60, lambda threads: 0.1 / threads)
    assert tuner.threads == 2


def test_an_old_choice_is_tried_again() -> None:
    """One thread beside a busy process is as fast as alone: only a trial shows a free core."""
    tuner = Tuner((1, 2))
    run(tuner, 2 * (LAPS + 1), doubles)
    assert tuner.threads == 1
    run(tuner, int(OLDEST_CHOICE / 0.2) + 20, lambda threads: 0.2 / threads)
    assert tuner.threads == 2


def test_a_steady_rate_asks_nothing() -> None:
    tuner = Tuner((1, 2))
    run(tuner, 2 * (LAPS + 1), halves)
    used = run(tuner, int(0.9 * OLDEST_CHOICE / 0.1), halves)
    assert set(used) == {2}


def test_laps_of_different_sizes_compare() -> None:
    tuner = Tuner((1, 2))
    run(tuner, 2 * (LAPS + 1), halves, units=10)
    used = run(tuner, 30, halves, units=3)
    assert set(used) == {2}


def test_with_one_core_nothing_is_tried() -> None:
    tuner = Tuner((1,))
    assert not tuner.is_trying
    assert set(run(tuner, 100, doubles)) == {1}
