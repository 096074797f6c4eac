from pathlib import Path

import pytest
import torch
from tests.patches_models import surface, write_surfaces

from paecli.store.feature_weights import has_photo_weights
from paecli.store.patch_checkpoint import load_patch_pae
from paecli.system.errors import ConfigError, DataError, TrainingError
from paecli.system.outputs import AUTOENCODER_FILE, MODEL_FILE
from paecli.training.loop import TrainingInterruptedError
from paecli.training.patches.flow_trainer import FlowTrainer
from paecli.training.patches.jobs import (
    measure_patches_again,
    train_patch_autoencoder,
    train_patch_flow,
)
from paecli.training.settings import PATCHES, RunSettings, resolve


def settings(folder: Path, features: str = "pixels", **own: object) -> RunSettings:
    data = {"dataset": str(folder), "image_size": 96, "held_out": 0.5}  # two folds
    flags = {
        "autoencoder": {"features": features, "data": data, "latent_size": 6} | own,
        "flow": {"blocks": 2, "flow_options": {"width": 8}, "optimiser": {"epochs": 3}},
    }
    return resolve(preset=PATCHES, file=None, flags=flags)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_surfaces(tmp_path / "tiles" / "train" / "good", range(30))
    write_surfaces(tmp_path / "tiles" / "test" / "good", range(100, 103))
    return tmp_path / "tiles"


def test_both_stages_give_a_model_that_finds_a_hole(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = train_patch_autoencoder(settings(folder), run_dir=run)
    assert 0 < first.metrics["explained_variance"] < 1
    second = train_patch_flow(settings(folder).flow, run_dir=run, device="cpu")
    assert second.epochs == 3
    model, header = load_patch_pae(run / MODEL_FILE)
    assert header.kind == "patch-pae"
    assert model.discriminator is not None
    assert 0.5 < second.metrics["painted_auroc"] <= 1
    assert header.data["images"] == 30  # the test folder is left alone
    assert len(model.reference_peaks) == 30  # each scored by a model of the other folds
    assert model.score_map(surface(99, hole=True)).max() > model.reference_peaks[-1]
    before = model.reference_peaks.clone()
    measure_patches_again(run)
    torch.testing.assert_close(load_patch_pae(run / MODEL_FILE)[0].reference_peaks, before)


def test_the_same_seed_gives_the_same_file(folder: Path, tmp_path: Path) -> None:
    files = []
    for name in ("a", "b"):
        run = tmp_path / name
        train_patch_autoencoder(settings(folder), run_dir=run)
        train_patch_flow(settings(folder).flow, run_dir=run, device="cpu")
        files.append((run / MODEL_FILE).read_bytes())
    assert files[0] == files[1]


def test_a_run_interrupted_in_the_folds_is_resumed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for run in (whole, broken):
        train_patch_autoencoder(settings(folder), run_dir=run)
    train_patch_flow(settings(folder).flow, run_dir=whole, device="cpu")

    def stop(*_: object) -> None:
        raise TrainingInterruptedError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr(FlowTrainer, "train_apart", stop)
        with pytest.raises(TrainingInterruptedError):
            train_patch_flow(settings(folder).flow, run_dir=broken, device="cpu")
    assert not (broken / MODEL_FILE).exists()
    train_patch_flow(settings(folder).flow, run_dir=broken, device="cpu", resume=True)
    assert (broken / MODEL_FILE).read_bytes() == (whole / MODEL_FILE).read_bytes()


def test_validation_images_are_what_is_compared_with(folder: Path, tmp_path: Path) -> None:
    write_surfaces(folder / "val" / "good", range(200, 207))
    run = tmp_path / "run"
    train_patch_autoencoder(settings(folder), run_dir=run)
    train_patch_flow(settings(folder).flow, run_dir=run, device="cpu")
    model, header = load_patch_pae(run / MODEL_FILE)
    assert (header.data["images"], len(model.reference_peaks)) == (30, 7)


def test_a_trained_run_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_patch_autoencoder(settings(folder), run_dir=run)
    with pytest.raises(TrainingError, match="--overwrite"):
        train_patch_autoencoder(settings(folder), run_dir=run)
    train_patch_autoencoder(settings(folder), run_dir=run, overwrite=True)


def test_a_mixture_for_patches_is_refused(folder: Path, tmp_path: Path) -> None:
    flow = settings(folder).flow.model_copy(update={"flow_options": {"components": "auto"}})
    with pytest.raises(ConfigError, match="components is for whole images only"):
        train_patch_flow(flow, run_dir=tmp_path, device="cpu")


def test_other_images_are_noticed(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_patch_autoencoder(settings(folder), run_dir=run)
    (folder / "train" / "good" / "000.png").unlink()
    with pytest.raises(DataError, match="not what the autoencoder"):
        train_patch_flow(settings(folder).flow, run_dir=run, device="cpu")


def test_more_latents_than_features_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="take 1 to 72"):
        train_patch_autoencoder(settings(folder, latent_size=100), run_dir=tmp_path / "run")


@pytest.mark.parametrize(("count", "reason"), [(0, "no images"), (1, "at least 2")])
def test_too_few_images_are_refused(count: int, reason: str, tmp_path: Path) -> None:
    write_surfaces(tmp_path / "few", range(count))
    with pytest.raises(DataError, match=reason):
        train_patch_autoencoder(settings(tmp_path / "few"), run_dir=tmp_path / "run")


def test_a_named_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="need one"):
        train_patch_autoencoder(settings(Path("fmnist")), run_dir=tmp_path / "run")


@pytest.mark.skipif(not has_photo_weights(), reason="the extra `photo` is not installed")
def test_photo_features_name_their_weights(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_patch_autoencoder(settings(folder, features="photo"), run_dir=run)
    model, header = load_patch_pae(run / AUTOENCODER_FILE)
    assert header.patches is not None
    assert header.patches.identity.startswith("579344248a93e230")
    assert model.feature_map(surface(1)).shape == (232, 5, 7)
