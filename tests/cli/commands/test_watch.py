"""`pae watch` as users type it: its refusals, what it prints, and what it says of drift."""

import json
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor
from typer.testing import CliRunner, Result

from paecli.cli.app import app
from paecli.cli.commands.watch import _report
from paecli.data import write_image


@pytest.fixture
def folder(blobs: Tensor, tmp_path: Path) -> Path:
    for index in range(2):
        write_image(tmp_path / "incoming" / f"{index}.png", blobs[500 + index])
    return tmp_path / "incoming"


def watch(folder: Path, model: Path, *more: object) -> Result:
    words = ["watch", str(folder), "--model", str(model), "--score", "log_prob", "--once"]
    return CliRunner().invoke(app, [*words, *map(str, more)])


def test_answers_go_to_standard_output_or_to_a_file(
    folder: Path, model_file: Path, tmp_path: Path
) -> None:
    printed = watch(folder, model_file, "--state", tmp_path / "state.jsonl")
    assert printed.exit_code == 0, printed.output
    lines = [json.loads(line) for line in printed.stdout.splitlines()]
    assert [Path(line["path"]).name for line in lines] == ["0.png", "1.png"]
    assert "0 answers given before" in printed.stderr
    assert "2 images answered." in printed.stderr
    again = watch(folder, model_file, "--state", tmp_path / "state.jsonl")
    assert again.stdout == ""
    assert "2 answers given before" in again.stderr
    written = watch(folder, model_file, "--jsonl", tmp_path / "answers.jsonl")
    assert written.stdout == ""
    kept = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [line["p_value"] for line in kept if "p_value" in line] == [
        line["p_value"] for line in lines
    ]


def test_without_a_place_it_remembers_in_the_cache_by_folder_and_score(
    folder: Path, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "cache"))
    assert len(watch(folder, model_file).stdout.splitlines()) == 2
    assert watch(folder, model_file).stdout == ""
    (tmp_path / "other").mkdir()
    watch(tmp_path / "other", model_file)
    assert len(list((tmp_path / "cache" / "watch").glob("*.jsonl"))) == 2


def test_what_cannot_work_is_refused(folder: Path, model_file: Path, tmp_path: Path) -> None:
    assert "is no folder" in str(watch(tmp_path / "gone", model_file).exception)
    slow = watch(folder, model_file, "--score", "marginal_likelihood")
    assert "no fast score 'marginal_likelihood'" in str(slow.exception)
    both = watch(folder, model_file, "--jsonl", tmp_path / "a", "--state", tmp_path / "b")
    assert "--state would do nothing here" in str(both.exception)
    unknown = watch(folder, model_file, "--score", "cycle_distance")
    assert "no reference scores of 'cycle_distance'" in str(unknown.exception)
    fine = watch(folder, model_file, "--fpr", "0.0001")
    assert "use at least" in str(fine.exception)


@pytest.mark.parametrize(
    ("drift", "said"),
    [
        ({"alarm": 1200, "images": 1200, "score": "roughness", "from_start": False}, True),
        ({"alarm": 1200, "images": 1201, "score": "roughness"}, False),  # it was said before
        ({"alarm": None, "images": 1200, "score": None}, False),
        ({"alarm": 0, "images": 0, "score": None}, False),
        (None, False),
    ],
)
def test_drift_is_said_once(
    drift: dict[str, Any] | None, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    _report({"p_value": 0.5} | ({} if drift is None else {"drift": drift}))
    told = " ".join(capsys.readouterr().err.split())
    assert ("told by roughness, after 1,200 images" in told) == said
    assert bool(told) == said
    assert ("than those before (" in told) == said
