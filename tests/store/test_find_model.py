"""Which file MODEL names: a file, a run's newest stage, a name in a registry."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from paecli.store import find_model as module
from paecli.store.find_model import find_model
from paecli.system.errors import CheckpointError, RegistryError, UsageError
from paecli.system.outputs import AUTOENCODER_FILE, MODEL_FILE


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What was asked of registries, which have everything."""
    asked: list[Any] = []

    def fetch(name: str, *, kind: str, registry: str) -> Any:
        asked.append((name, kind, registry))
        origin = module.BUNDLED if name == "bundled-one" else registry
        return SimpleNamespace(origin=origin, files=[tmp_path / "first", tmp_path / "second"])

    def fetch_model(name: str | None) -> Path:
        asked.append(name)
        return tmp_path / "default"

    monkeypatch.setattr(module, "fetch", fetch)
    monkeypatch.setattr(module, "fetch_model", fetch_model)
    return asked


def test_files_come_before_folders_and_names(fetched: list[Any], tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").touch()
    assert find_model(tmp_path / "a.safetensors") == tmp_path / "a.safetensors"
    assert fetched == []
    for name in (None, "no-such-file"):
        assert find_model(name) == tmp_path / "default"
    assert fetched == [None, "no-such-file"]


@pytest.mark.usefixtures("fetched")
@pytest.mark.parametrize(
    ("files", "same", "newest"),
    [((AUTOENCODER_FILE,), True, AUTOENCODER_FILE), ((MODEL_FILE,), True, MODEL_FILE),
     ((AUTOENCODER_FILE, MODEL_FILE), True, MODEL_FILE),
     ((AUTOENCODER_FILE, MODEL_FILE), False, None), ((), True, None)],
)  # fmt: skip
def test_of_a_run_the_newest_stage_counts(
    files: tuple[str, ...], same: bool, newest: str | None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(module, "read_header", lambda path: SimpleNamespace(
        autoencoder_hash="a" if same else path.name))  # fmt: skip
    for name in files:
        (tmp_path / name).touch()
    if newest:
        assert find_model(tmp_path) == tmp_path / newest
        return
    says = "belongs to an older autoencoder" if files else "holds no trained model; start with"
    with pytest.raises(CheckpointError, match=says):
        find_model(tmp_path)


def test_a_registry_has_to_have_the_name(fetched: list[Any], tmp_path: Path) -> None:
    assert find_model("other", registry="/shelf") == tmp_path / "first"
    assert fetched == [("other", "model", "/shelf")]
    assert find_model("bundled-one", registry=module.BUNDLED) == tmp_path / "first"
    with pytest.raises(RegistryError, match="/shelf has no model 'bundled-one'; without"):
        find_model("bundled-one", registry="/shelf")
    with pytest.raises(UsageError, match="no model is named, and a registry"):
        find_model(None, registry="/shelf")
    with pytest.raises(UsageError, match="is on this machine, and a registry"):
        find_model(tmp_path, registry="/shelf")
