"""The course of a training: by steps, by the clock, and to a flat end; resumed exactly."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from paecli.api import load
from paecli.store.checkpoint import read_header
from paecli.system.progress import NullProgress, NullTask
from paecli.train import train_autoencoder
from paecli.training import course as course_module
from paecli.training import loop as loop_module
from paecli.training.course import Course, first_course, is_flat
from paecli.training.loop import TrainingInterruptedError
from paecli.training.optimisers import learning_rate_at
from paecli.training.run_folder import read_state_fields, settings_of_interrupted_run, state_file
from paecli.training.settings import OptimiserSettings, RunSettings, check, merge


def test_without_a_clock_fractions_are_those_of_every_version() -> None:
    course = first_course(OptimiserSettings(epochs=7), 13)
    assert [course.fraction(step) for step in range(92)] == [step / 91 for step in range(92)]


@pytest.mark.parametrize("slower", [1.0, 3.0, 0.3])
def test_the_clock_is_met_when_the_rate_drifts(slower: float) -> None:
    budget, seconds, step = 100.0, 0.0, 0
    course = first_course(OptimiserSettings(minutes=budget / 60), 1000)
    fractions = []
    while step < course.last:
        fractions.append(course.fraction(step))
        step += 1
        seconds += 0.1 * (slower if seconds > 40 else 1)
        if course.is_due(step, seconds, budget):
            course.refit(step, seconds, budget)
    assert seconds == pytest.approx(budget, rel=0.03)
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] > 0.97
    assert max(b - a for a, b in pairwise(fractions)) < 0.03


def test_a_flat_end_takes_its_part_of_all_steps() -> None:
    course = Course(last=1000)
    course.cool(80, 8.0, 0.2)
    assert (course.last, course.fraction(80), course.fraction(100)) == (100, 0.8, 1.0)
    course.refit(90, 9.0, 9.5)  # the clock may end it sooner, never later
    assert course.last == 95
    course.refit(95, 9.1, 900.0)
    assert course.last == 95
    late = Course(last=100)
    late.cool(90, 9.0, 0.2)
    assert late.last == 100


@pytest.mark.parametrize(
    ("errors", "flat"),
    [
        ([5, 4, 3, 2, 1], False),
        ([5, 4, 3.0, 2.99, 2.99, 2.99], True),
        ([5, 4, 3.0, 3.5, 3.2, 2.9], False),  # a gain of more than a hundredth
        ([5, 4, 3, 9, 9, 9], True),
        ([3, 3, 3], False),  # nothing to compare with yet
        ([-5, -6, -6.01, -6.02, -6.03], True),  # errors may be negative: log densities
        ([8.0] + [4.0] * 8 + [3.0] * 3 + [2.995], False),  # a quarter of 13 epochs reaches back
    ],
)
def test_flat_is_no_gain_of_a_hundredth(errors: list[float], flat: bool) -> None:
    assert is_flat(errors, 3, 1000) is flat
    assert not is_flat(errors, 0, 1000)
    assert not is_flat(errors, 3, 200 // len(errors))  # 200 steps are all there are


def test_a_trapezoid_stays_and_falls_to_zero() -> None:
    settings = OptimiserSettings(schedule="trapezoid", warmup=0.1, cooldown=0.2, learning_rate=2.0)
    rates = [learning_rate_at(fraction / 100, settings) for fraction in range(101)]
    assert rates[10:81] == [2.0] * 71
    assert rates[80:] == sorted(rates[80:], reverse=True)
    assert rates[85] == pytest.approx(1.0)
    assert rates[100] == pytest.approx(0)


class Interrupting(NullProgress):
    """Asks to stop after some calls of `advance`, as Ctrl-C does."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[NullTask]:
        del description, total
        yield Counting(self)


class Counting(NullTask):
    def __init__(self, progress: Interrupting) -> None:
        self.progress = progress

    def advance(self, steps: int = 1, **shown: str) -> None:
        self.progress.left -= bool(shown)
        if self.progress.left == 0:
            signal.raise_signal(signal.SIGINT)


def flattening(settings: RunSettings) -> RunSettings:
    """Settings that learn nothing, so that they are flat after four epochs, and a linear path."""
    changes = {
        "linear": True,
        "augment": {"shift": 0, "noise": 0.0},
        "optimiser": {
            "learning_rate": 1e-12,
            "epochs": 40,
            "patience": 2,
            "cooldown": 0.4,
            "warmup": 0,
            "schedule": "trapezoid",
        },
    }
    fields = merge(settings.model_dump(), {"autoencoder": changes})
    return check(fields, where="the test")


@pytest.mark.parametrize("after", [3, 20, 27, 31])
def test_a_flat_run_ends_early_and_resumes_exactly(
    small_run: RunSettings, tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course_module, "FEWEST_STEPS", 6)
    settings = flattening(small_run)
    said = Interrupting(-1)
    whole = train_autoencoder(settings, run_dir=tmp_path / "whole", device="cpu", progress=said)
    assert (whole.ended, whole.epochs) == ("flat", 5)
    assert any("flat after epoch 3: 2 more" in line for line in said.lines)
    broken = tmp_path / "broken"
    with pytest.raises(TrainingInterruptedError):
        train_autoencoder(settings, run_dir=broken, device="cpu", progress=Interrupting(after))
    again = settings_of_interrupted_run(broken)
    resumed = train_autoencoder(again, run_dir=broken, device="cpu", resume=True)
    assert (resumed.ended, resumed.epochs) == ("flat", 5)
    rates = [[row["learning_rate"] for row in report.history] for report in (whole, resumed)]
    assert rates[0] == rates[1]
    hashes = [
        read_header(run / "autoencoder.safetensors").autoencoder_hash
        for run in (tmp_path / "whole", broken)
    ]
    assert hashes[0] == hashes[1]


class Clock:
    """Time that passes by the number of times it is asked for."""

    def __init__(self, tick: float) -> None:
        self.now, self.tick = 0.0, tick

    def perf_counter(self) -> float:
        self.now += self.tick
        return self.now


def timed(settings: RunSettings, minutes: float) -> RunSettings:
    changes = {"optimiser": {"minutes": minutes, "schedule": "trapezoid"}}
    return check(merge(settings.model_dump(), {"autoencoder": changes}), where="the test")


def test_a_run_for_a_time_ends_with_it_in_the_middle_of_an_epoch(
    small_run: RunSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "time", Clock(1.0))
    settings = timed(small_run, 0.5)  # 30 ticks, an epoch has 6 steps and some ticks beside
    report = train_autoencoder(settings, run_dir=tmp_path / "run", device="cpu")
    assert report.ended == "minutes"
    assert report.as_json()["ended"] == "minutes"
    assert 24 <= report.seconds <= 36
    assert report.epochs > 3
    assert report.history[-1]["learning_rate"] < 0.6 * report.history[1]["learning_rate"]
    assert load(tmp_path / "run").latent_size == 4


def test_a_run_for_a_time_goes_on_with_what_is_left_of_it(
    small_run: RunSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr(loop_module, "time", Clock(1.0))
    with pytest.raises(TrainingInterruptedError):
        train_autoencoder(
            timed(small_run, 0.5), run_dir=run, device="cpu", progress=Interrupting(15)
        )
    course = read_state_fields(state_file(run, "autoencoder")).course
    assert course is not None
    assert 15 < course.last < 40
    report = train_autoencoder(
        settings_of_interrupted_run(run), run_dir=run, device="cpu", resume=True
    )
    assert 24 <= report.seconds <= 36


def test_the_shortest_time_trains_a_step(small_run: RunSettings, tmp_path: Path) -> None:
    begun = time.monotonic()
    report = train_autoencoder(timed(small_run, 1e-6), run_dir=tmp_path / "run", device="cpu")
    assert report.epochs == 1
    assert torch.isfinite(torch.tensor(report.history[0]["held_out"]))
    assert time.monotonic() - begun < 60
