import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from paecli.api import PAE
from paecli.cli import screen
from paecli.cli.app import app
from paecli.store.checkpoint import read_header, save_pae
from paecli.system.errors import UsageError


def test_json_tells_what_the_file_holds(model_file: Path, trained_pae: PAE) -> None:
    result = CliRunner().invoke(app, ["info", str(model_file), "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["kind"] == "pae"
    assert told["has_flow"] is True
    assert told["data"] == {"name": "blobs"}
    assert told["size"] == model_file.stat().st_size
    count = sum(parameter.numel() for parameter in trained_pae.autoencoder.parameters())
    assert told["parameters"]["autoencoder"] == count
    assert told["scores"] == list(trained_pae.reference_scores)


def test_without_json_it_is_a_table_on_standard_error(model_file: Path) -> None:
    result = CliRunner().invoke(app, ["info", str(model_file), "--all"])
    assert result.stdout == ""
    assert "autoencoder_hash" in result.stderr


def test_it_fits_on_one_screen_and_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "stderr", Console(stderr=True, width=80, highlight=False))
    shown = CliRunner().invoke(app, ["info", "fmnist-32"]).stderr
    lines = shown.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    for answer in ("grey, 28 x 28", "latent size 32", "fmnist", "10 classes", "0.0053055", "muon"):
        assert answer in shown


def test_the_model_is_named_once(model_file: Path) -> None:
    assert CliRunner().invoke(app, ["info", "--model", str(model_file)]).exit_code == 0
    twice = CliRunner().invoke(app, ["info", str(model_file), "--model", "fmnist-32"])
    assert isinstance(twice.exception, UsageError)


@pytest.mark.parametrize("hostile", ["\x1b[31mred", "[bold]loud", "\x1b]0;title\x07"])
def test_a_header_cannot_steer_the_terminal(
    trained_pae: PAE, model_file: Path, tmp_path: Path, hostile: str
) -> None:
    path = tmp_path / "model.safetensors"
    header = read_header(model_file).model_copy(update={"data": {"dataset": hostile}})
    save_pae(path, trained_pae, header)
    shown = CliRunner().invoke(app, ["info", str(path)]).stderr
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert hostile.strip("\x1b\x07")[:6].strip("\x07") in shown
