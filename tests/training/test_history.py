"""The history of a training: written while it runs, whole at any moment, also after resuming."""

import csv
import json
from pathlib import Path

import pytest

from paecli.system.errors import UsageError
from paecli.training import history
from paecli.training.history import EVENTS, History, history_file, require_log

ROWS = [{"epoch": 1, "loss": 0.5, "held_out": 0.4}, {"epoch": 2, "loss": 0.25, "held_out": 0.3}]


def read(run_dir: Path, stage: str = "flow") -> tuple[list[dict[str, float]], list[dict[str, str]]]:
    lines = history_file(run_dir, stage).read_text().splitlines()
    with history_file(run_dir, stage, ending="csv").open() as table:
        return [json.loads(line) for line in lines], list(csv.DictReader(table))


def test_both_files_grow_by_a_row_an_epoch(tmp_path: Path) -> None:
    written = History(tmp_path, "flow")
    for count in (0, 1, 2):
        written.write(ROWS[:count])
        lines, table = read(tmp_path)
        assert lines == ROWS[:count]
        assert [{name: float(value) for name, value in row.items()} for row in table] == lines
    assert not (tmp_path / "tensorboard").exists()


def test_the_loop_tells_every_epoch_as_it_ends(trained_run: Path) -> None:
    lines, table = read(trained_run, "autoencoder")
    assert [row["epoch"] for row in lines] == [1, 2, 3]
    assert [row["epoch"] for row in table] == ["1", "2", "3"]


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder)).Reload()
    return {
        name: [(event.step, event.value) for event in read.Scalars(name)]
        for name in read.Tags()["scalars"]
    }


def test_tensorboard_gets_every_figure_of_every_epoch_once(tmp_path: Path) -> None:
    folder = tmp_path / "tensorboard" / "flow"
    for rows in ([ROWS[:1]], [ROWS[:1], ROWS]):  # interrupted after an epoch, then resumed
        written = History(tmp_path, "flow", "tensorboard")
        for so_far in rows:
            written.write(so_far)
        written.close()
    assert len(list(folder.glob(EVENTS))) == 1
    found = events(folder)
    assert found["loss"] == [(1, 0.5), (2, 0.25)]
    assert found["held_out"] == [(1, pytest.approx(0.4)), (2, pytest.approx(0.3))]


def test_a_log_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    require_log("tensorboard")
    monkeypatch.setattr(history, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'paecli\[tensorboard\]'"):
        require_log("tensorboard")
    require_log("csv")
