"""The loop on a device that is not the CPU: torch's `meta` device, which has shapes only."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from paecli.system.errors import TrainingError
from paecli.system.progress import NullProgress
from paecli.training.course import Course
from paecli.training.loop import TrainingLoop, _generator, _warm_up
from paecli.training.settings import OptimiserSettings
from paecli.training.state import TrainingState


class OnMeta:
    """Stands for an accelerator that moves what it prepares to another device."""

    device = torch.device("meta")
    num_processes, process_index, is_main_process = 1, 0, True

    def prepare(self, module: nn.Module, *others: Any) -> tuple[Any, ...]:
        return (module.to(self.device), *others)


class SmallStage:
    examples, metric_name, example_kind = 8, "loss", "images"

    def __init__(self) -> None:
        self.module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))


def small_loop(
    stage: SmallStage,
    settings: OptimiserSettings,
    folder: Path,
    *,
    content_hash: str = "",
    accelerator: OnMeta | None = None,
) -> TrainingLoop:
    return TrainingLoop(
        stage,  # type: ignore[arg-type]
        name="test",
        settings=settings,
        seed=0,
        state_file=folder / "state",
        described={},
        content_hash=content_hash,
        accelerator=accelerator or OnMeta(),  # type: ignore[arg-type]
        use_bfloat16=False,
        progress=NullProgress(),
    )


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_the_average_is_where_the_module_is(tmp_path: Path, averaging: float) -> None:
    stage = SmallStage()
    loop = small_loop(stage, OptimiserSettings(averaging=averaging, batch_size=4), tmp_path)
    assert {value.device.type for value in loop.average.weights.values()} == {"meta"}
    loop.average.update(stage.module)


@pytest.mark.parametrize("threads", [3, None])
def test_a_run_goes_on_with_the_threads_and_the_course_of_its_state(
    tmp_path: Path, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    monkeypatch.setattr("paecli.training.loop.keep_threads", kept.append)
    monkeypatch.setattr(TrainingState, "give_back", lambda state, *parts: None)
    loop = small_loop(
        SmallStage(), OptimiserSettings(batch_size=3, epochs=5), tmp_path, content_hash="now"
    )
    assert (loop.batch_size, loop.steps_per_epoch, loop.course.last) == (3, 2, 10)
    state = TrainingState(settings={}, epoch=1, step=2, threads=threads)
    loop.restore(state)
    assert kept == ([] if threads is None else [3])
    assert loop.state is state
    assert state.content_hash == "now"
    assert loop.course == Course(last=10)
    loop.restore(TrainingState(settings={}, course={"last": 7, "start": 2}))
    assert loop.course == Course(last=7, start=2)


def test_a_batch_divides_over_the_processes(tmp_path: Path) -> None:
    class Two(OnMeta):
        num_processes = 2

    with pytest.raises(TrainingError, match="a batch of 3 does not divide over 2 processes"):
        small_loop(SmallStage(), OptimiserSettings(batch_size=3), tmp_path, accelerator=Two())


def test_seeds_of_steps_differ() -> None:
    seeds = {_generator(*numbers).initial_seed() for numbers in
             ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, -1), (0, 0))}  # fmt: skip
    assert len(seeds) == 6
    assert _generator(1, 2, 3).initial_seed() == 3745298475754794335


@pytest.mark.parametrize(
    ("rates", "over"),
    [([0.1], 1), ([0.1, 0.2], 2), ([0.1, 0.5, 0.2], 1), ([0.1, 0.3, 0.2], 2), ([0.5], 0)],
)
def test_the_warm_up_is_over_where_the_rate_is_highest(rates: list[float], over: int) -> None:
    history = [{"learning_rate": rate} for rate in rates]
    assert _warm_up(history, OptimiserSettings(learning_rate=0.5)) == over
