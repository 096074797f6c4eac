import hashlib
import json
import os
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from paecli.cli import screen
from paecli.cli.app import app
from paecli.store.cache import cached_file, keep_in_cache
from paecli.store.index import IndexFile
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


def fetched_into_cache(tmp_path: Path, content: bytes) -> Path:
    """A finished download, as `obtain` leaves it."""
    part = tmp_path / "part"
    part.write_bytes(content)
    file = IndexFile(path="model.safetensors", size=3, sha256=hashlib.sha256(b"rat").hexdigest())
    keep_in_cache(part, cached_file(file))
    return cached_file(file)


def test_verify_finds_and_removes_damage(registry: Path, tmp_path: Path) -> None:
    assert runner.invoke(app, ["download", "--verify"]).exit_code == 0
    damaged = fetched_into_cache(tmp_path, b"rot")
    result = runner.invoke(app, ["download", "--verify", "--json"])
    assert json.loads(result.stdout) == {"checked": 1, "damaged": [str(damaged)]}
    assert isinstance(result.exception, RegistryError)
    assert not damaged.exists()


def test_verify_leaves_a_users_file_in_the_place_of_a_download(
    registry: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "cache" / "files" / ("0" * 64) / "model.safetensors"
    mine.parent.mkdir(parents=True)
    mine.write_text("somebody's")
    result = runner.invoke(app, ["download", "--verify"])
    assert result.exit_code == 0, result.output
    assert "pae has no record of writing it" in " ".join(result.stderr.split())
    assert mine.read_text() == "somebody's"


def test_a_download_does_not_replace_a_users_file(registry: Path, tmp_path: Path) -> None:
    mine = fetched_into_cache(tmp_path, b"rat")
    for path in mine.parent.iterdir():
        path.unlink()
    mine.write_text("somebody's")
    with pytest.raises(RegistryError, match="no record of writing it"):
        fetched_into_cache(tmp_path, b"rat")
    assert mine.read_text() == "somebody's"


def test_verify_takes_a_whole_file_of_version_0_1_for_a_download(
    registry: Path, tmp_path: Path
) -> None:
    old = fetched_into_cache(tmp_path, b"rat")
    (old.parent / f".{old.name}.pae").unlink()
    result = runner.invoke(app, ["download", "--verify", "--json"])
    assert json.loads(result.stdout) == {"checked": 1, "damaged": []}


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


def test_a_model_is_found_by_name_once_it_was_fetched(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = ["info", "blobs", "--json"]
    assert isinstance(runner.invoke(app, info).exception, RegistryError)
    monkeypatch.chdir(tmp_path)
    fetched = runner.invoke(app, ["download", "blobs", "--registry", "registry"])
    assert "pae sample blobs" in fetched.stderr
    monkeypatch.chdir("/")
    found = runner.invoke(app, info)
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["file"] == str(registry / "blobs-r1.safetensors")


@pytest.mark.parametrize("command", ["sample", "eval", "ood", "interpolate", "info", "inpaint"])
def test_commands_take_a_registry(command: str) -> None:
    assert "--registry" in runner.invoke(app, [command, "--help"], env={"COLUMNS": "200"}).stdout


def test_a_registry_is_chosen_for_one_command(registry: Path) -> None:
    arguments = ["info", "blobs", "--json", "--registry", str(registry)]
    assert runner.invoke(app, arguments).exit_code == 0
    assert "PAE_REGISTRY" not in os.environ


@pytest.mark.parametrize("address", ["{}/index.yaml", "file://{}/index.yaml", "{}/"])
def test_addresses_of_the_index_are_those_of_the_registry(registry: Path, address: str) -> None:
    arguments = ["download", "--list", "--json", "--registry", address.format(registry)]
    listed = json.loads(runner.invoke(app, arguments).stdout)
    assert [entry["name"] for entry in listed["entries"]] == ["blobs"]


@pytest.mark.parametrize("width", [60, 80])
def test_names_in_the_list_are_whole(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "stderr", Console(stderr=True, width=width, highlight=False))
    shown = runner.invoke(app, ["download", "--list"]).stderr
    rows = [line for line in shown.splitlines() if line.startswith("│")]
    names = {row.strip("│").split("│")[0].strip() for row in rows}
    assert {"fmnist-32", "inception-fid", "grey-classifier"} <= names
    assert max(map(len, shown.splitlines())) <= width
