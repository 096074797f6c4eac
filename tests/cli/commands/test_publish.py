import json
import os
import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from paecli.api import load
from paecli.cli.app import app
from paecli.store.checkpoint import load_pae, read_header, save_pae
from paecli.store.publishing import publish as workflow
from paecli.store.publishing.publication_plan import default_name
from paecli.store.registry import fetch_model, list_entries
from paecli.system.errors import CheckpointError, RegistryError, UsageError, WriteError

runner = CliRunner()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "registry"


def publish(model: Path, folder: Path, *more: str) -> dict[str, object]:
    result = runner.invoke(app, ["publish", str(model), "--to", str(folder), "--json", *more])
    if result.exception is not None:
        raise result.exception
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def test_file_card_and_entry_are_written(model_file: Path, folder: Path) -> None:
    answer = publish(model_file, folder, "--name", "blobs", "--licence", "CC-BY-4.0")
    assert (answer["name"], answer["revision"]) == ("blobs", 1)
    published = folder / "blobs-r1.safetensors"
    assert published.read_bytes() == model_file.read_bytes()
    card = (folder / "blobs-r1.md").read_text()
    assert "CC-BY-4.0" in card
    assert str(answer["sha256"]) in card
    assert fetch_model("blobs", registry=str(folder)) == published
    assert sorted(path.name for path in folder.iterdir()) == [
        "blobs-r1.md", "blobs-r1.safetensors", "index.yaml",
    ]  # fmt: skip


def test_publishing_again_makes_a_revision_or_replaces(model_file: Path, folder: Path) -> None:
    for _ in range(2):
        publish(model_file, folder, "--name", "blobs")
    revisions = [entry.revision for entry in list_entries(str(folder))]
    assert revisions == [1, 2]
    assert fetch_model("blobs", registry=str(folder), revision=1).name == "blobs-r1.safetensors"
    publish(model_file, folder, "--name", "blobs", "--replace")
    assert [entry.revision for entry in list_entries(str(folder))] == [3]
    assert not (folder / "blobs-r1.safetensors").exists()


def test_half_is_smaller_and_loads(model_file: Path, folder: Path) -> None:
    answer = publish(model_file, folder, "--name", "blobs", "--half")
    assert int(str(answer["size"])) < 0.6 * model_file.stat().st_size
    model = load(str(answer["model_file"]))
    assert torch.isfinite(model.log_prob(torch.rand(2, *model.image_shape))).all()


@pytest.mark.parametrize("name", ["../evil", "UPPER", "a b", ".hidden", "a" * 65])
def test_bad_names_write_nothing(model_file: Path, folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a name"):
        publish(model_file, folder, "--name", name)
    assert not folder.exists()


def test_a_model_of_too_many_metrics_is_told_what_to_do(
    model_file: Path, folder: Path, tmp_path: Path
) -> None:
    model, header = load_pae(model_file)
    metrics = {f"metric {number}": 1.0 for number in range(201)}
    save_pae(tmp_path / "m.safetensors", model, header.model_copy(update={"metrics": metrics}))
    with pytest.raises(UsageError, match=r"metrics .* 200 .*; save the model without some$"):
        publish(tmp_path / "m.safetensors", folder)
    assert not folder.exists()


def test_a_damaged_model_is_not_published(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError):
        publish(tmp_path / "model.safetensors", folder)
    assert not folder.exists()


def test_a_full_disk_leaves_the_registry_as_it_was(
    model_file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(model_file, folder, "--name", "blobs")
    before = (folder / "index.yaml").read_bytes()

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(WriteError, match="No space left on device"):
        publish(model_file, folder, "--name", "blobs")
    assert (folder / "index.yaml").read_bytes() == before
    assert len(list(folder.iterdir())) == 3


def test_replacing_removes_only_what_was_published(model_file: Path, folder: Path) -> None:
    publish(model_file, folder, "--name", "blobs")
    publish(model_file, folder, "--name", "blobs")
    (folder / "blobs-r1.safetensors").write_text("somebody's")
    (folder / "blobs-r2.md").write_text("somebody's")
    publish(model_file, folder, "--name", "blobs", "--replace")
    assert sorted(path.name for path in folder.iterdir()) == [
        "blobs-r1.safetensors", "blobs-r2.md", "blobs-r3.md", "blobs-r3.safetensors", "index.yaml",
    ]  # fmt: skip


@pytest.mark.parametrize("half", [False, True])
def test_the_publishers_own_folders_are_not_published(
    model_file: Path, folder: Path, tmp_path: Path, half: bool
) -> None:
    model, header = load_pae(model_file)
    config = {"autoencoder": {"data": {"dataset": "/home/somebody/holiday"}}}
    own = tmp_path / "own.safetensors"
    save_pae(own, model, header.model_copy(update={"config": config}))
    publish(own, folder, "--name", "blobs", *(["--half"] if half else []))
    published = folder / "blobs-r1.safetensors"
    for file in folder.iterdir():
        assert b"somebody" not in file.read_bytes(), file
    assert read_header(published).training_set == "holiday"
    first, second = model.state_dict(), load_pae(published)[0].state_dict()
    assert all(torch.equal(first[name], second[name]) or half for name in first)


@pytest.mark.parametrize("failing", ["card", "index"])
def test_a_publication_that_fails_leaves_nothing(
    model_file: Path, folder: Path, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(model_file, folder, "--name", "blobs")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    ending = {"card": ".md", "index": ".yaml"}[failing]
    write = workflow.write_atomically

    def full(path: Path, content: bytes) -> None:
        if path.suffix == ending:
            raise WriteError(f"cannot write {path}: No space left on device")
        write(path, content)

    monkeypatch.setattr(workflow, "write_atomically", full)
    with pytest.raises(WriteError):
        publish(model_file, folder, "--name", "blobs")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # what forks ends at once
@pytest.mark.parametrize("when", ["card", "index", "removal"])
def test_a_killed_publication_is_cleared_by_the_next(
    model_file: Path, folder: Path, when: str
) -> None:
    publish(model_file, folder, "--name", "blobs")
    child = os.fork()
    if not child:
        write, killed = workflow.write_atomically, {"card": ".md", "index": ".yaml"}.get(when)

        def until_killed(path: Path, content: bytes) -> None:
            if path.suffix == killed:
                os._exit(9)
            write(path, content)

        workflow.write_atomically = until_killed
        workflow._remove_unlisted = lambda *_: os._exit(9)
        publish(model_file, folder, "--name", "blobs", "--replace")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    left = {path.name for path in folder.iterdir()}
    assert "blobs-r2.safetensors" in left
    publish(model_file, folder, "--name", "others")
    stays = "blobs-r2" if when == "removal" else "blobs-r1"
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{stays}.md", f"{stays}.safetensors", "index.yaml",
        "others-r1.md", "others-r1.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("ending", [".safetensors", ".md"])
def test_files_the_index_does_not_know_stay(model_file: Path, folder: Path, ending: str) -> None:
    folder.mkdir()
    foreign = folder / f"blobs-r1{ending}"
    foreign.write_text("somebody's")
    assert publish(model_file, folder, "--name", "blobs")["revision"] == 2
    assert foreign.read_text() == "somebody's"


def test_an_index_that_nobody_would_read_is_not_written(
    model_file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(model_file, folder, "--name", "blobs")
    before = (folder / "index.yaml").read_text()
    monkeypatch.setattr(workflow, "MAX_INDEX_BYTES", len(before) + 10)
    with pytest.raises(RegistryError, match="would be larger"):
        publish(model_file, folder, "--name", "blobs")
    assert (folder / "index.yaml").read_text() == before
    assert not (folder / "blobs-r2.safetensors").exists()


@pytest.mark.parametrize("dataset", ["фото", "-", "a" * 200, "", "/data/My Photos"])
def test_every_data_set_gives_a_name(model_file: Path, dataset: str) -> None:
    header = read_header(model_file).model_copy(update={"data": {"dataset": dataset}})
    assert re.fullmatch("[a-z0-9][a-z0-9._-]{0,63}", default_name(header))
