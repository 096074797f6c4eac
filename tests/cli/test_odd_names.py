"""File names of every kind are safe in tables, JSON, CSV, pages and pictures."""

import copy
import csv
import json
import os
from pathlib import Path

import pytest
from torch import Tensor
from typer.testing import CliRunner, Result

from paecli.api import PAE
from paecli.cli.app import app
from paecli.data import write_image
from paecli.outliers.scores import fit_reference_scores
from paecli.store.checkpoint import read_header, save_pae, save_tensors
from paecli.system.errors import PaeError, WriteError
from paecli.system.names import visible

NAMES = (
    b"plain.png", b"caf\xe9.png", b"new\nline.png", b"\n=2.png", b"=1+1.png", b"+1.png", b"-x.png",
    b"@sum.png", b"\t=3.png", b"[red]x[/red].png", b"[/].png", b"%s{0}.png", b"$x^{$.png",
    b"_hidden.png", b"*?[.png", b"\x1b[31mred.png", b"<img src=x>&amp;.png", b'"a",b.png',
    b"~.png", b"#x.png", b"b" * 245 + b".png",
    "\u202egnp.exe.png".encode(), "שלום.png".encode(), "😀.png".encode(),
)  # fmt: skip


@pytest.fixture(scope="module")
def model(
    trained_pae: PAE, blobs: Tensor, model_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    pae = copy.deepcopy(trained_pae)
    pae.fit_sigma(blobs[400:])
    fit_reference_scores(pae, blobs[400:], training=blobs[:400])
    header = read_header(model_file).model_copy(update={"data": {"dataset": "fmnist-mini"}})
    save_pae(path, pae, header)
    return path


@pytest.fixture
def folder(blobs: Tensor, tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for index, name in enumerate(NAMES):
        write_image(folder / os.fsdecode(name), blobs[index])
    (folder / os.fsdecode(b"broken\xff\n=.png")).write_bytes(b"no image")
    return folder


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def _is_one_line_each(said: str) -> None:
    assert "\x1b" not in said
    assert "\u202e" not in said
    said.encode()


def test_ood_writes_every_name(model: Path, folder: Path, tmp_path: Path) -> None:
    table, lines = tmp_path / "f.csv", tmp_path / "f.jsonl"
    outputs = ["--csv", table, "--jsonl", lines, "--picture", tmp_path / "f.png", "--json"]
    result = run("ood", model, folder, *outputs, "--report", tmp_path / "report")
    answer = json.loads(result.stdout)
    json.dumps(answer, ensure_ascii=False).encode()  # strict readers refuse half characters
    assert len(answer["images"]) == len(NAMES)
    with table.open(newline="") as file:
        cells = [row["path"] for row in csv.DictReader(file)]
    assert len(cells) == len(NAMES)
    assert len(lines.read_text().splitlines()) == len(NAMES)
    page = (tmp_path / "report" / "report.html").read_text()
    assert "&lt;img src=x&gt;" in page
    assert "\x1b" not in page
    _is_one_line_each(result.stderr)


def test_csv_cells_are_no_formulas(
    model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    table = tmp_path / "f.csv"
    names = [os.fsdecode(name) for name in NAMES]
    run("ood", "--model", model, "--csv", table, "--", *names)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(NAMES)
    assert not any(row["path"].startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for row in rows)
    assert {"'=1+1.png", "'-x.png", "caf\\xe9.png"} <= {row["path"] for row in rows}
    assert all(float(row["log_prob"]) < 1e9 for row in rows)  # negative numbers stay numbers


def test_restorations_of_every_name(model: Path, folder: Path, tmp_path: Path) -> None:
    for name in NAMES[5:]:  # an image takes a second
        (folder / os.fsdecode(name)).unlink()
    quick = ["--method", "map", "--starts", "2", "--out", tmp_path / "out"]
    result = run("inpaint", folder, "--mask", "left", "--model", model, *quick, "--json")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    json.dumps(answers, ensure_ascii=False).encode()
    assert len(answers) == 5
    _is_one_line_each(result.stderr)


def test_tables_show_names_as_they_are(model: Path, folder: Path) -> None:
    said = run("ood", model, folder / "[red]x[/red].png", folder / "[/].png").stderr
    assert "[red]x[/red].png" in said
    assert "[/].png" in said


def test_sets_of_every_name_are_compared(
    model: Path, folder: Path, blobs: Tensor, tmp_path: Path
) -> None:
    sets = []
    for name in (b"$x^{$", b"_hidden", b"[/]", b"caf\xe9", b"line\nbreak"):
        sets.append(tmp_path / os.fsdecode(name))
        for index in range(30):
            write_image(sets[-1] / f"{index}.png", blobs[index + 30])
    against = [word for each in sets for word in ("--against", each)]
    options = ["--score", "log_prob", "--limit", "30", "--json", "--report", tmp_path / "report"]
    result = run("ood", model, *against, *options)
    json.dumps(json.loads(result.stdout), ensure_ascii=False).encode()
    _is_one_line_each(result.stderr)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"caf\xe9", "caf\\xe9"),
        (b"a\nb", "a\\nb"),
        (b"\x1b[31m", "\\x1b[31m"),
        ("\u202etxt".encode(), "\\u202etxt"),
        ("👨\u200d👩 می\u200cخواهم".encode(), "👨\u200d👩 می\u200cخواهم"),
    ],
)
def test_what_steers_terminals_is_shown(name: bytes, shown: str) -> None:
    assert visible(os.fsdecode(name)) == shown


def test_folders_that_are_not_utf8_are_used_or_refused_in_one_line(
    model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What holds tensors needs text for a name; everything else takes any."""
    monkeypatch.chdir(tmp_path)
    odd = os.fsdecode(b"odd\xff")
    run("publish", model, "--to", odd, "--name", "k")
    run("sample", model, "-n", "1", "--files", "--out", odd)
    for arguments in (
        ("sample", "k", "--registry", odd),
        ("info", f"{odd}/k-r1.safetensors"),
        ("sample", "k", "--registry", f"https://{odd}"),
    ):
        result = CliRunner().invoke(app, arguments)
        assert isinstance(result.exception, PaeError)
        assert "\n" not in str(result.exception)
    with pytest.raises(WriteError, match="its name is not UTF-8"):
        save_tensors(Path(odd) / "x.safetensors", {}, {})
