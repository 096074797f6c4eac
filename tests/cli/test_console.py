import io
import json
import re
from dataclasses import asdict, dataclass

import pytest
from rich.console import Console

from paecli.cli import screen
from paecli.cli.console import RichProgress, print_json, print_table


@dataclass(frozen=True)
class Figures:
    mean: float
    interval: tuple[float, float]


def test_undefined_figures_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures(float("nan"), (float("-inf"), 1.5))
    print_json({"a": asdict(figures), "b": [float("inf")], "c": 0.5, "d": True})
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 1
    assert json.loads(printed) == {
        "a": {"mean": None, "interval": [None, 1.5]}, "b": [None], "c": 0.5, "d": True,
    }  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_bar_keeps_steps_and_time_left_however_much_is_shown(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.StringIO()
    terminal = Console(file=shown, width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr(screen, "stderr", terminal)
    with RichProgress().task("training the autoencoder", 5000) as task:
        task.advance(1234, loss="0.012345", held_out="0.0123", images_per_second="1234.5")
    last = shown.getvalue()
    assert "…" not in re.sub("training [a-z ]*…", "", last)
    assert ("held out 0.0123" in last) == (width == 120)
    assert "1234/5000" in last
    assert " left" in last
    assert "-:--:--" in last
    assert "━" in last


def test_a_single_step_has_no_bar_that_stays_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    terminal = Console(file=shown, width=80, force_terminal=True, highlight=False)
    monkeypatch.setattr(screen, "stderr", terminal)
    with RichProgress().task("restoring [red]", 1) as task:
        task.advance()
    assert "0/1" not in shown.getvalue()
    assert "restoring [red]" in shown.getvalue()


def test_one_thing_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    progress = RichProgress()
    for message in ("Features are not kept.", "Warning: full.", "Features are not kept."):
        progress.say(message)
    progress.say("Warning: full.")
    said = capsys.readouterr().err
    assert said.count("Features are not kept.") == said.count("Warning: full.") == 1


@pytest.mark.parametrize("columns", ["0", "1", "20", "wide", ""])
def test_what_is_said_stays_readable_however_narrow_the_screen(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(screen, "stderr", screen._console())
    print_table("Found", ("name", "value"), [("an image with a long name", "0.0123")])
    said = capsys.readouterr().err
    assert "0.0123" in said
    assert "image" in said


def test_names_fold_and_numbers_do_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(screen, "stderr", screen._console())
    numbers = ("log_prob", "0.3973±.2099", "0.2035±.1775", "1.0000±.4643")
    columns = ("data set", "score", "AUROC", "AUPR", "FPR95")
    print_table("Against", columns, [("/home/somebody/photographs", *numbers)])
    said = capsys.readouterr().err
    assert all(number in said for number in numbers)
    assert max(map(len, said.splitlines())) <= 80


def test_a_training_shows_its_loss_on_a_screen_of_usual_width(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = io.StringIO()
    terminal = Console(file=shown, width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(screen, "stderr", terminal)
    with RichProgress().task("training", 20_000) as task:
        task.advance(12_000, epoch="600/1000", loss="0.02419", images_per_second="390")
    assert "epoch 600/1000  loss 0.02419 " in shown.getvalue()
    assert "12000/20000" in shown.getvalue()
