"""What becomes of a run when its images change, move, or are few."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from paecli.data import content_keys, load_dataset
from paecli.data.model_data import load_for_model
from paecli.model.held_out_errors import calibration_part, fitting_part
from paecli.model.requirements import typed_rate
from paecli.store.runs import load_with_header, origin_of
from paecli.system.errors import DataError, TrainingError, UsageError
from paecli.system.locks import locked_folder
from paecli.system.progress import NullProgress, NullTask
from paecli.train import measure_again, train_autoencoder, train_flow
from paecli.training.images import describe_split, held_out_part, split_data
from paecli.training.loop import TrainingInterruptedError
from paecli.training.run_folder import settings_of_interrupted_run
from paecli.training.settings import DataSettings, RunSettings, check
from paecli.training.state import TrainingState


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """120 different images of 8x8 pixels."""
    path = tmp_path / "photos"
    path.mkdir()
    random = np.random.default_rng(0)
    for number in range(120):
        pixels = random.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{number:03}.png")
    return path


def settings_for(folder: Path | str) -> RunSettings:
    optimiser = {"epochs": 2, "batch_size": 32, "precision": "fp32"}
    return check(
        {
            "autoencoder": {
                "data": {"dataset": str(folder)},
                "network": "mlp",
                "network_options": {"width": 16, "blocks": 1},
                "latent_size": 2,
                "optimiser": optimiser,
            },
            "flow": {"blocks": 1, "flow_options": {"width": 8}, "optimiser": optimiser},
        },
        where="the test",
    )


class Interrupting(NullProgress):
    """Sends the signal of Ctrl-C after one step."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[NullTask]:
        del total
        yield _InterruptingTask() if description == "training" else NullTask()


class _InterruptingTask(NullTask):
    def advance(self, steps: int = 1, **shown: str) -> None:
        del shown
        if steps:
            signal.raise_signal(signal.SIGINT)


def interrupted(folder: Path, run_dir: Path) -> None:
    with pytest.raises(TrainingInterruptedError):
        train_autoencoder(
            settings_for(folder), run_dir=run_dir, device="cpu", progress=Interrupting()
        )


def resume(run_dir: Path) -> None:
    settings = settings_of_interrupted_run(run_dir)
    train_autoencoder(settings, run_dir=run_dir, device="cpu", resume=True)


@pytest.mark.parametrize("change", ["replace", "delete", "add"])
def test_a_run_does_not_go_on_with_other_images(folder: Path, tmp_path: Path, change: str) -> None:
    run = tmp_path / "run"
    interrupted(folder, run)
    if change == "delete":
        (folder / "007.png").unlink()
    else:
        name = "007.png" if change == "replace" else "new.png"
        Image.new("L", (8, 8), 3).save(folder / name)
    with pytest.raises(TrainingError, match="is not as it was when the run in"):
        resume(run)


def test_a_run_goes_on_with_a_folder_that_was_renamed(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    interrupted(folder, run)
    moved = folder.rename(tmp_path / "moved")
    settings = settings_of_interrupted_run(run, moved_to=str(moved))
    assert settings.autoencoder.data.dataset == str(moved)
    Image.new("L", (8, 8), 3).save(moved / "new.png")
    with pytest.raises(TrainingError, match="moved is not as it was when the run in"):
        train_autoencoder(settings, run_dir=run, device="cpu", resume=True)
    (moved / "new.png").unlink()
    train_autoencoder(settings, run_dir=run, device="cpu", resume=True)
    assert load_with_header(run)[1].training_set == str(moved)


def test_a_state_that_does_not_tell_its_images_goes_on(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    interrupted(folder, run)
    path = run / "autoencoder-state.safetensors"
    state = TrainingState.load(path)
    assert state.content_hash is not None
    state.content_hash = None
    state.save(path)
    settings = settings_of_interrupted_run(run, moved_to=str(tmp_path))
    assert settings.autoencoder.data.dataset == str(folder)  # nothing tells whether it is the same
    resume(run)


def test_a_state_of_version_0_1_keeps_its_split(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    interrupted(folder, run)
    path = run / "autoencoder-state.safetensors"
    state = TrainingState.load(path)
    del state.settings["autoencoder"]["data"]["split_by"]
    state.save(path)
    data = settings_of_interrupted_run(run).autoencoder.data
    assert data.split_by == "position"


def test_a_model_remembers_what_it_was_trained_on(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = settings_for(folder)
    train_autoencoder(settings, run_dir=run, device="cpu")
    train_flow(settings.flow, run_dir=run, device="cpu")
    model, header = load_with_header(run)
    kept, held_out = split_data(settings.autoencoder.data, load_dataset(str(folder)))
    assert torch.equal(model.trained_on.keys, content_keys(kept.images).unique())
    assert not torch.isin(content_keys(held_out.images), model.trained_on.keys).any()
    Image.new("L", (8, 8), 3).save(folder / "000a.png")
    data = load_for_model(origin_of(model, header)).dataset
    assert not torch.isin(content_keys(data.test.images), model.trained_on.keys).any()
    with pytest.raises(DataError, match="--data-dir"):
        measure_again(run)


def test_the_folder_is_found_from_another_directory_and_after_a_move(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.chdir(tmp_path)
    settings = settings_for("photos")
    train_autoencoder(settings, run_dir=run, device="cpu")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    train_flow(settings.flow, run_dir=run, device="cpu")
    folder.rename(tmp_path / "elsewhere" / "moved")
    measure_again(run, data_dir=tmp_path / "elsewhere" / "moved")
    with pytest.raises(DataError, match="--data-dir"):
        measure_again(run)


def test_a_folder_whose_name_is_not_utf_8_is_refused_before_training(
    folder: Path, tmp_path: Path
) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    folder.rename(odd)
    with pytest.raises(DataError, match=r"caf\\xe9 is not UTF-8"):
        train_autoencoder(settings_for(odd), run_dir=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_run_folder_whose_name_is_not_utf_8_is_refused_before_training(
    folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / os.fsdecode(b"run\xe9")
    with pytest.raises(UsageError, match=r"run\\xe9 is not UTF-8"):
        train_autoencoder(settings_for(folder), run_dir=run, device="cpu")
    assert not run.exists()


def test_classes_whose_names_are_not_utf_8_do_not_lose_the_training(
    folder: Path, tmp_path: Path
) -> None:
    classes = tmp_path / "classes"
    shutil.copytree(folder, classes / os.fsdecode(b"caf\xe9"))
    train_autoencoder(settings_for(classes), run_dir=tmp_path / "run", device="cpu")
    _, header = load_with_header(tmp_path / "run")
    assert header.data["classes"] == ["caf\\xe9"]


def test_two_trainings_do_not_share_a_folder(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = settings_for(folder)
    with locked_folder(run) as free:
        assert free
        with pytest.raises(TrainingError, match="another pae is training into"):
            train_autoencoder(settings, run_dir=run, device="cpu")
    train_autoencoder(settings, run_dir=run, device="cpu")
    with locked_folder(run), pytest.raises(TrainingError, match="another pae is training into"):
        train_flow(settings.flow, run_dir=run, device="cpu")


def test_resume_and_overwrite_exclude_each_other(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give one of them"):
        train_autoencoder(
            settings_for(folder), run_dir=tmp_path / "run", resume=True, overwrite=True
        )


def test_of_few_images_enough_are_held_out_for_the_usual_rate() -> None:
    settings = DataSettings()
    assert held_out_part(settings, 55_000) == 1 / 12
    assert held_out_part(DataSettings(held_out=0.5), 297) == 0.5
    for photographs in (330, 500, 1000, 1200):
        training = 0.9 * photographs
        reference_scores = training * held_out_part(settings, round(training)) / 2
        assert 1 / (reference_scores + 1) < 0.05


@pytest.mark.parametrize("photographs", [60, 80, 104, 150, 330])
def test_of_any_few_images_enough_are_left_for_a_rate_of_a_twentieth(
    photographs: int, tmp_path: Path
) -> None:
    for index in range(photographs):
        pixels = torch.randint(0, 256, (6, 6), dtype=torch.uint8).numpy()
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    data = load_dataset(str(tmp_path))
    kept, held_out = split_data(DataSettings(dataset=str(tmp_path)), data)
    judges, fitted = calibration_part(held_out.images), fitting_part(held_out.images)
    assert len(judges) >= 19
    assert len(fitted) >= 6
    assert len(judges) + len(fitted) == len(held_out)
    assert len(kept) >= len(held_out)


def test_the_split_and_the_finest_rate_are_said(folder: Path) -> None:
    data = load_dataset(str(folder))
    kept, held_out = split_data(DataSettings(dataset=str(folder)), data)
    line = describe_split(data, kept, held_out)
    assert f"{len(held_out)} held out" in line
    assert (
        f"p-values from {typed_rate(1 / (len(calibration_part(held_out.images)) + 1))} up" in line
    )


def test_validation_images_that_are_trained_on_judge_nothing(folder: Path) -> None:
    for part in ("train", "val", "test"):
        (folder / part).mkdir()
    for number, file in enumerate(sorted(folder.glob("*.png"))):
        file.rename(folder / ("train", "val", "test")[number // 40] / file.name)
    for name in ("000.png", "001.png", "002.png"):
        shutil.copy(folder / "train" / name, folder / "val")
    data = load_dataset(str(folder))
    kept, held_out = split_data(DataSettings(dataset=str(folder)), data)
    assert (len(kept), len(held_out)) == (40, 40)
    assert not torch.isin(content_keys(held_out.images), content_keys(kept.images)).any()
    assert "40 held out (3 more are trained on), 40 test" in describe_split(data, kept, held_out)
    shutil.rmtree(folder / "val")
    shutil.copytree(folder / "train", folder / "val")
    with pytest.raises(DataError, match="all 40 validation images of photos are among those"):
        split_data(DataSettings(dataset=str(folder)), load_dataset(str(folder)))
