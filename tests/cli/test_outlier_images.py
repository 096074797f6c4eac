"""What `pae ood IMAGES` does with a report: says, writes and counts."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from paecli.cli import outlier_images
from paecli.cli.outlier_images import _count, flag, flag_fields, print_flags, write_files
from paecli.outliers.flag_images import FlagReport, Region, ScoredImage


def report(folder: Path, *, count: int = 3, fdr: float | None = None) -> FlagReport:
    images = tuple(
        ScoredImage(folder / f"{n}.png", 0.01 * (n + 1), n < 2, 5.0 - n, -3.5, 0.25)
        for n in range(count)
    )
    gone = ((folder / "gone.png", "gone.png is empty"),)
    return FlagReport(
        images, gone, "combined", 0.05, fdr, 99, images[:1], torch.rand(1, 1, 4, 4),
        torch.rand(1, 1, 4, 4), 1.23456,
    )  # fmt: skip


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the search was asked for, which finds the same each time."""
    asked: list[dict[str, Any]] = []

    def find(model: object, paths: list[Path], **options: Any) -> FlagReport:
        asked.append(options | {"paths": paths, "model": model})
        return report(tmp_path)

    monkeypatch.setattr(outlier_images, "_find", find)
    monkeypatch.setattr(outlier_images, "load_scorer", lambda file: ("a model", None))
    return asked


OPTIONS: dict[str, Any] = {
    "score": "log_prob", "fpr": 0.05, "fdr": None, "files": (None, None, None), "maps": None,
    "truth": None, "report": None, "as_json": True,
}  # fmt: skip


def test_files_of_a_list_that_are_not_there_are_counted(
    found: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = tmp_path / "lost.png"
    ended = flag(tmp_path, ["a.png", "b"], missing=[(lost, "it is not there")], **OPTIONS)
    assert ended == (2, 2)
    printed = capsys.readouterr()
    assert [each["path"] for each in json.loads(printed.out)["unreadable"]] == [
        str(lost), str(tmp_path / "gone.png")
    ]  # fmt: skip
    assert "Skipped: it is not there" in printed.err
    assert found == [{
        "paths": [Path("a.png"), Path("b")], "model": "a model", "score": "log_prob",
        "fpr": 0.05, "fdr": None, "sink": None, "tiles": False,
    }]  # fmt: skip


@pytest.mark.usefixtures("found")
def test_of_several_processes_the_first_speaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(outlier_images, "process_index", lambda: 1)
    table = tmp_path / "a.csv"
    assert flag(tmp_path, ["a.png"], **OPTIONS | {"files": (table, None, None)}) == (2, 1)
    assert flag(tmp_path, ["a.png"], tiles=True, **OPTIONS) == (0, 0)
    assert capsys.readouterr() == ("", "")
    assert not table.exists()


@pytest.mark.parametrize(
    ("fdr", "says"),
    [(None, "2 of 3 images flagged; if all were in-distribution, about 0.15 would be."),
     (0.1, "2 of 3 images flagged; on average at most 0.1 of the flagged are in-distribution.")],
)  # fmt: skip
def test_what_is_flagged_is_put_in_words(
    fdr: float | None, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_flags(report(tmp_path, fdr=fdr))
    said = capsys.readouterr().err
    assert says in said
    assert f"The images are in {tmp_path}." in said
    assert "Skipped: gone.png is empty" in said
    fields = flag_fields(report(tmp_path, fdr=fdr))
    assert (fields["fpr"], fields["fdr"]) == ((0.05, None) if fdr is None else (None, 0.1))
    assert (fields["flagged"], fields["normal_images"], fields["seconds"]) == (2, 99, 1.235)


@pytest.mark.parametrize(
    ("expected", "said"), [(0.15, "0.15"), (9.94, "9.9"), (10, "10"), (1234.5, "1,234")]
)
def test_few_are_told_in_fractions(expected: float, said: str) -> None:
    assert _count(expected) == said


@pytest.mark.parametrize("regions", [False, True])
def test_tables_and_lines_hold_every_image(regions: bool, tmp_path: Path) -> None:
    result = report(tmp_path)
    if regions:
        box = Region((1, 2, 3, 4), 5, 0.5)
        images = (replace(result.images[0], regions=(box,), spoke="error"), *result.images[1:])
        result = replace(result, images=images)
    write_files(result, tmp_path / "a.csv", tmp_path / "a.jsonl", None)
    rows = list(csv.reader((tmp_path / "a.csv").read_text().splitlines()))
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert len(lines) == 3
    assert ("regions" in rows[0]) == ("regions" in lines[0]) == regions
    assert rows[1][:4] == [str(tmp_path / "0.png"), "0.01", "True", "5.0"]
    assert lines[1] == {
        "path": str(tmp_path / "1.png"), "p_value": 0.02, "outlier": True, "score": 4.0,
        "log_prob": -3.5, "reconstruction_error": 0.25,
    }  # fmt: skip
    if regions:
        assert json.loads(rows[1][7]) == [{"box": [1, 2, 3, 4], "area": 5, "p_value": 0.5}]
        assert lines[0]["spoke"] == rows[1][6] == "error"
        assert rows[2][6:] == ["", ""]
