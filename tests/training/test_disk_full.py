"""No space left at each write of a job in turn: one line, nothing lost, nothing half written."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from paecli.api import load
from paecli.data import write_image
from paecli.store.publishing.publish import publish
from paecli.store.registry import fetch
from paecli.system.errors import PaeError
from paecli.train import train_autoencoder, train_flow
from paecli.training.run_folder import state_file
from paecli.training.settings import RunSettings

Job = Callable[[], object]


@pytest.fixture
def tiny_run(small_run: RunSettings, blobs: Tensor, tmp_path: Path) -> RunSettings:
    """Two epochs on two dozen images, so that a run can be done many times."""
    for index, image in enumerate(blobs[:24]):
        write_image(tmp_path / "images" / f"{index:02}.png", image[:, ::4, ::4])
    fields = small_run.model_dump()
    fields["autoencoder"]["data"] = {"dataset": str(tmp_path / "images")}
    for stage in ("autoencoder", "flow"):
        fields[stage]["optimiser"] |= {"epochs": 2, "batch_size": 8}
    return RunSettings.model_validate(fields)


@dataclass(frozen=True)
class Trial:
    """Runs jobs on a disk that is full at one write."""

    disk: Callable[[int], AbstractContextManager[Any]]

    def writes_of(self, job: Job) -> int:
        with self.disk(0) as disk:
            job()
        return int(disk.opened)

    def fail_at(self, number: int, job: Job, folder: Path) -> None:
        """Checks what is said and what is left."""
        with self.disk(number), pytest.raises(PaeError) as caught:
            job()
        assert "No space left on device" in str(caught.value)
        assert "\n" not in str(caught.value)
        for path in folder.rglob("*"):
            assert not path.name.startswith(".tmp-")
            if path.suffix == ".safetensors":
                with safe_open(path, framework="pt") as file:
                    assert file.keys()


@pytest.fixture
def trial(full_disk: Callable[[int], AbstractContextManager[Any]]) -> Trial:
    return Trial(full_disk)


def trained(settings: RunSettings, run_dir: Path) -> None:
    """Trains both stages, each resumed if it was under way."""
    if not (run_dir / "autoencoder.safetensors").exists():
        resume = state_file(run_dir, "autoencoder").exists()
        train_autoencoder(settings, run_dir=run_dir, resume=resume, device="cpu")
    resume = state_file(run_dir, "flow").exists()
    train_flow(settings.flow, run_dir=run_dir, resume=resume, device="cpu")


def test_training_survives_a_full_disk_at_every_write(
    tiny_run: RunSettings, tmp_path: Path, trial: Trial
) -> None:
    count = trial.writes_of(lambda: trained(tiny_run, tmp_path / "whole"))
    whole = load(tmp_path / "whole").state_dict()
    assert count >= 14  # a state an epoch, the history, the model, the settings: each synced
    for number in range(1, count + 1):
        run_dir = tmp_path / f"run-{number}"
        trial.fail_at(number, lambda run_dir=run_dir: trained(tiny_run, run_dir), run_dir)
        if not (run_dir / "model.safetensors").exists():
            trained(tiny_run, run_dir)
        weights = load(run_dir).state_dict()
        assert all(torch.equal(weights[name], whole[name]) for name in whole), number


def test_publishing_and_downloading_survive_a_full_disk(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trial: Trial
) -> None:
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "cache"))
    count = trial.writes_of(lambda: publish(model_file, folder=tmp_path / "whole", name="a"))
    for number in range(1, count + 1):
        folder = tmp_path / f"registry-{number}"
        trial.fail_at(
            number, lambda folder=folder: publish(model_file, folder=folder, name="a"), folder
        )
        assert not (folder / "index.yaml").exists()  # it is written last
        publish(model_file, folder=folder, name="a")
        assert fetch("a", registry=str(folder)).entry.revision == 1


def test_a_picture_that_does_not_fit_leaves_the_old_one(
    blobs: Tensor, tmp_path: Path, trial: Trial
) -> None:
    path = tmp_path / "a.png"
    write_image(path, blobs[0])
    before = path.read_bytes()
    for number in (1, 2):
        trial.fail_at(number, lambda: write_image(path, blobs[1]), tmp_path)
        assert path.read_bytes() == before
