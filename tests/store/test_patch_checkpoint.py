from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tests.patches_models import small_model, surface

from paecli.model.patches.discriminator import Discriminator
from paecli.model.patches.model import PatchPAE
from paecli.model.patches.pixels import PixelFeatures
from paecli.store.checkpoint import load_pae
from paecli.store.header import HEADER_KEY, Header, PatchSettings
from paecli.store.patch_checkpoint import load_patch_pae, save_patch_pae
from paecli.store.runs import load_scorer
from paecli.system.errors import CheckpointError


@pytest.fixture(scope="module")
def model() -> PatchPAE:
    return small_model()


def header(model: PatchPAE, **changes: Any) -> Header:
    flow = {"kind": "glow", "latent_size": 6, "blocks": 1, "width": 8}
    fields = {
        "kind": "patch-pae",
        "autoencoder": {"size": model.autoencoder.size, "latent_size": 6},
        "flow": flow,
        "patches": PatchSettings(features="pixels", area=model.area),
    }
    return Header(**(fields | changes))


@pytest.fixture
def file(model: PatchPAE, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_patch_pae(path, model, header(model))
    return path


def test_a_loaded_model_scores_the_same(model: PatchPAE, file: Path) -> None:
    loaded, read = load_patch_pae(file)
    assert torch.equal(loaded.score_map(surface(50)), model.score_map(surface(50)))
    assert torch.equal(loaded.reference_peaks, model.reference_peaks)
    assert read.kind == "patch-pae"
    assert isinstance(load_scorer(file)[0], PatchPAE)


def test_a_discriminator_is_kept_and_models_of_before_have_none(
    model: PatchPAE, file: Path, tmp_path: Path
) -> None:
    assert load_patch_pae(file)[0].discriminator is None
    torch.manual_seed(0)
    whole = small_model()
    arguments: dict[str, Any] = {"size": PixelFeatures.size, "hidden": [7, 5], "weight": 0.5}
    whole.discriminator = Discriminator(**arguments).eval()
    path = tmp_path / "whole.safetensors"
    settings = PatchSettings(features="pixels", area=model.area, discriminator=arguments)
    save_patch_pae(path, whole, header(model, patches=settings))
    loaded = load_patch_pae(path)[0]
    assert loaded.score_map(surface(50)).equal(whole.score_map(surface(50)))
    assert not loaded.score_map(surface(50)).equal(model.score_map(surface(50)))
    change(path, {"discriminator.scale": torch.zeros(PixelFeatures.size)})
    with pytest.raises(CheckpointError, match="impossible values"):
        load_patch_pae(path)


@pytest.mark.parametrize(
    "odd", [{"hidden": []}, {"hidden": [7, 5, 5]}, {"size": 71}, {"depth": 3}, {"weight": "x"}]
)
def test_a_discriminator_that_cannot_be_is_refused(
    model: PatchPAE, tmp_path: Path, odd: dict[str, Any]
) -> None:
    path = tmp_path / "odd.safetensors"
    arguments = {"size": PixelFeatures.size, "hidden": [7, 5], "weight": 0.5} | odd
    settings = PatchSettings(features="pixels", area=model.area, discriminator=arguments)
    save_patch_pae(path, model, header(model, patches=settings))
    with pytest.raises(CheckpointError):
        load_patch_pae(path)


def test_jobs_for_whole_images_refuse_it_in_one_line(file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model of patches.*`pae ood`") as caught:
        load_pae(file)
    assert "\n" not in str(caught.value)


def test_files_of_other_kinds_do_not_know_patches(model_file: Path) -> None:
    with safe_open(model_file, framework="pt") as opened:
        assert "patches" not in opened.metadata()[HEADER_KEY]
    with pytest.raises(CheckpointError, match="no model of patches"):
        load_patch_pae(model_file)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("autoencoder.variances", torch.zeros(60)),
        ("autoencoder.mean", torch.full((60,), torch.nan)),
        ("usual", torch.zeros(2, 3)),
        ("normal_scores.peak", torch.tensor([2.0, 1.0])),
        ("normal_scores.pixel", torch.zeros(0)),
        ("autoencoder.components", torch.eye(59)),
    ],
)
def test_impossible_values_are_refused(file: Path, name: str, value: torch.Tensor) -> None:
    if name.startswith("autoencoder.") and value.ndim == 1:
        value = torch.full((PixelFeatures.size,), value[0].item())
    change(file, {name: value})
    with pytest.raises(CheckpointError, match="download or train it again"):
        load_patch_pae(file)


def test_changed_weights_are_noticed(model: PatchPAE, file: Path) -> None:
    change(file, {"autoencoder.mean": model.autoencoder.mean + 1})
    with pytest.raises(CheckpointError, match="weights were changed"):
        load_patch_pae(file)


def test_features_of_other_weights_are_refused(model: PatchPAE, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    settings = PatchSettings(features="pixels", identity="0" * 64, area=model.area)
    save_patch_pae(path, model, header(model, patches=settings))
    with pytest.raises(CheckpointError, match="other weights"):
        load_patch_pae(path)


def test_a_missing_extra_is_named(
    model: PatchPAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paecli.store.feature_weights.PHOTO_PACKAGE", "no_such_package")
    path = tmp_path / "model.safetensors"
    settings = PatchSettings(features="photo", identity="0" * 64, area=model.area)
    save_patch_pae(path, model, header(model, patches=settings))
    with pytest.raises(CheckpointError, match=r"paecli\[photo\]"):
        load_patch_pae(path)


def change(file: Path, changes: dict[str, torch.Tensor]) -> None:
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    save_file(tensors | changes, file, metadata)
