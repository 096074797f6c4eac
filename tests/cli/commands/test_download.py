import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paecli.cli.app import app
from paecli.store.publishing.publish import publish
from paecli.system.errors import RegistryError

runner = CliRunner()


@pytest.fixture
def registry(model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "cache"))
    publish(model_file, folder=tmp_path / "registry", name="blobs", licence="MIT")
    return tmp_path / "registry"


def test_a_model_is_fetched_and_named(registry: Path) -> None:
    result = runner.invoke(app, ["download", "blobs", "--registry", str(registry), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "name": "blobs",
        "kind": "model",
        "revision": 1,
        "origin": "folder",
        "verified": True,
        "files": [str(registry / "blobs-r1.safetensors")],
    }


def test_the_list_is_a_table_and_json(registry: Path) -> None:
    arguments = ["download", "--list", "--registry", str(registry)]
    table = runner.invoke(app, arguments)
    assert table.stdout == ""
    assert "blobs" in table.stderr
    assert "MIT" in table.stderr
    listed = json.loads(runner.invoke(app, [*arguments, "--json"]).stdout)
    assert [entry["name"] for entry in listed["entries"]] == ["blobs"]


def test_verify_finds_and_removes_damage(registry: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "cache" / "files" / ("0" * 64) / "model.safetensors"
    assert runner.invoke(app, ["download", "--verify"]).exit_code == 0
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"rot")
    result = runner.invoke(app, ["download", "--verify", "--json"])
    assert json.loads(result.stdout) == {"checked": 1, "damaged": [str(damaged)]}
    assert isinstance(result.exception, RegistryError)
    assert not damaged.exists()


def test_verify_leaves_what_pae_did_not_write(registry: Path, tmp_path: Path) -> None:
    files = tmp_path / "cache" / "files"
    elsewhere = tmp_path / "photos"
    elsewhere.mkdir()
    (elsewhere / "model.safetensors").write_text("somebody's")
    foreign = [
        files / "x" / "me.jpg",
        files / ("a" * 64) / "me.jpg",
        files / ("A" * 64) / "model.safetensors",
        files / ("b" * 63) / "model.safetensors",
        files / ("c" * 64) / "a.safetensors",
        files / ("c" * 64) / "b.safetensors",
    ]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("somebody's")
    (files / ("d" * 64)).symlink_to(elsewhere)
    (files / ("e" * 64)).mkdir()
    (files / ("e" * 64) / "model.safetensors").symlink_to(foreign[0])
    result = runner.invoke(app, ["download", "--verify", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"checked": 0, "damaged": []}
    assert all(path.read_text() == "somebody's" for path in foreign)
    assert (files / ("d" * 64) / "model.safetensors").exists()
    assert (files / ("e" * 64) / "model.safetensors").is_symlink()
