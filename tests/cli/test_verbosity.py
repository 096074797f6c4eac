"""`--quiet` and `--verbose`, which may stand anywhere on the command line."""

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner, Result

from paecli.cli import console, screen
from paecli.cli.app import app
from paecli.cli.console import RichProgress, complain, print_table, say, set_verbosity

runner = CliRunner()
COMMAND = ["sample", "mnist-8", "-n", "2"]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    set_verbosity(quiet=False, verbose=False)


def sample(*arguments: str, folder: Path) -> Result:
    result = runner.invoke(app, [*arguments, "--out", str(folder)])
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("place", [0, 1, 4])
@pytest.mark.parametrize("option", ["--quiet", "-q"])
def test_quiet_prints_nothing(option: str, place: int, tmp_path: Path) -> None:
    assert "images drawn" in sample(*COMMAND, folder=tmp_path).stderr
    arguments = [*COMMAND[:place], option, *COMMAND[place:]]
    result = sample(*arguments, folder=tmp_path)
    assert result.stderr == ""
    assert result.stdout == ""


def test_quiet_leaves_json_and_errors(tmp_path: Path) -> None:
    assert json.loads(sample(*COMMAND, "--json", "--quiet", folder=tmp_path).stdout)
    result = runner.invoke(app, ["sample", "nosuchmodel", "--quiet"])
    assert result.exit_code == 1
    assert "nosuchmodel" in str(result.exception)


def test_what_follows_two_dashes_is_no_option(tmp_path: Path) -> None:
    result = runner.invoke(app, ["ood", "mnist-8", "--", "--quiet"])
    assert result.exit_code != 0
    assert "--quiet" in str(result.exception)


def test_verbose_says_which_file_serves(tmp_path: Path) -> None:
    assert "mnist-8" not in sample(*COMMAND, folder=tmp_path).stderr.replace(str(tmp_path), "")
    assert "the model is" in sample(*COMMAND, "-v", folder=tmp_path).stderr
    assert "the model is" not in sample(*COMMAND, folder=tmp_path).stderr


def test_verbose_says_each_thing_once(tmp_path: Path) -> None:
    Image.new("L", (28, 28)).save(tmp_path / "black.png")
    said = runner.invoke(app, ["ood", "-v", "mnist-8", str(tmp_path)]).stderr
    assert said.count("the model is") == 1


def test_a_quiet_progress_warns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(screen, "stderr", Console(stderr=True, force_terminal=True))
    set_verbosity(quiet=True, verbose=False)
    progress = RichProgress()
    with progress.task("working", 3) as task:
        task.advance(3)
    progress.say("3 images left out")
    say("done")
    print_table("Found", ("name",), [("one",)])
    assert capsys.readouterr().err == ""
    complain("Error: no")
    progress.say("Warning: the index is old")
    assert capsys.readouterr().err.splitlines() == ["Error: no", "Warning: the index is old"]


@pytest.mark.parametrize("quiet", [False, True])
def test_lines_stand_above_a_bar(quiet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    terminal = Console(file=shown, force_terminal=True, width=60, color_system=None, emoji=False)
    monkeypatch.setattr(screen, "stderr", terminal)
    long = "a file of the name :dog: " + 60 * "x"
    with RichProgress().task("working", 3) as task:
        set_verbosity(quiet=quiet, verbose=False)
        task.advance(1)
        complain(long)
    lines = re.sub(r"\x1b\[\S*?[A-Za-z]", "", shown.getvalue()).split("\n")
    assert long in [line.rpartition("\r")[2] for line in lines]
    complain("after it")
    assert "after it" not in shown.getvalue()


def test_a_pipe_gets_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with RichProgress().task("training", 100) as task:
        for _ in range(100):
            task.advance(loss="0.1")
    lines = capsys.readouterr().err.splitlines()
    assert 10 <= len(lines) <= 100 * 3 / 10
    assert lines[0].startswith("training ")


def test_details_are_those_of_the_library_alone() -> None:
    set_verbosity(quiet=False, verbose=True)
    assert logging.getLogger("paecli").handlers
    set_verbosity(quiet=False, verbose=False)
    assert not logging.getLogger("paecli").handlers
