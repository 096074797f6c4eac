import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.listener import Listener
from tests.peak_memory import peak_growth
from torch import Tensor

from paecli.api import PAE
from paecli.data import content_keys, load_dataset, write_image
from paecli.evaluation.evaluate import (
    SampleQualityOptions,
    _decode_to_8_bit,
    _sample_quality,
    _some,
    _with_reconstructions,
    evaluate,
)
from paecli.evaluation.reconstruction import reconstruction_quality
from paecli.model.model import BATCH, Model
from paecli.store.checkpoint import load_pae, save_pae
from paecli.system.errors import DataError, UsageError
from paecli.system.progress import NullProgress


class Pooling:
    """A feature network that needs no weights: brightness of 4 x 4 fields."""

    name = "pooling"
    description = "fields"
    identity = "1"
    size = 49
    batch = 500

    def __call__(self, images: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(images.float() / 255, 4).flatten(1)


@pytest.fixture(autouse=True)
def fresh_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No data sets but the bundled ones, and nothing in the cache."""
    monkeypatch.delenv("PAE_DATA", raising=False)
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("paecli.data.sets.locations.SYSTEM_FOLDER", tmp_path / "none")
    monkeypatch.setattr("paecli.data.sets.locations.dataset_cache", lambda: tmp_path / "none")


@pytest.fixture
def model(model_file: Path, tmp_path: Path) -> Path:
    """The shared model, as if trained on Fashion-MNIST."""
    return trained_on("fmnist", model_file, tmp_path)


def trained_on(dataset: str, model_file: Path, folder: Path, *, keys: bool = False) -> Path:
    pae, header = load_pae(model_file)
    if keys:
        pae.trained_on.remember(content_keys(load_dataset(dataset).train.images))
    path = folder / "model.safetensors"
    save_pae(path, pae, header.model_copy(update={"data": {"dataset": dataset}}))
    return path


def test_a_large_set_is_never_floats_at_once(trained_pae: PAE) -> None:
    images = torch.randint(0, 256, (20_000, 1, 28, 28), dtype=torch.uint8)  # 63 MB as floats

    def measure() -> None:
        z = trained_pae.encode(images)
        reconstruction_quality(_with_reconstructions(trained_pae, images, z))
        _decode_to_8_bit(trained_pae, z)  # 16 MB

    assert peak_growth(measure) < 45e6


def test_the_bundled_sample_stands_in_and_is_named(model: Path) -> None:
    listener = Listener()
    report = evaluate(model, progress=listener).as_dict()
    assert report["dataset"] == "fmnist-mini"
    assert report["substitute_for"] == "fmnist"
    assert report["images"] == 1000
    assert "fmnist is not on this machine" in listener.lines[0]
    assert report["memorisation"] is None
    assert "copy training images cannot be told" in listener.lines[1]


def test_the_report_is_plain_json_with_the_contract_s_keys(
    model_file: Path, tmp_path: Path
) -> None:
    model = trained_on("fmnist-mini", model_file, tmp_path, keys=True)
    report = json.loads(json.dumps(evaluate(model).as_dict(), allow_nan=False))
    pae, _ = load_pae(model)
    test = load_dataset("fmnist-mini").test.images
    error = (pae.reconstruct(test) - test / 255).double().square().mean().item()
    assert report["reconstruction"]["mse"] == pytest.approx(error, rel=1e-5)
    assert report["reconstruction"]["pca_mse"] > 0.005
    nll = -pae.log_prob(test).double().mean().item()
    assert report["flow"]["nll"] == pytest.approx(nll, rel=1e-5)
    assert 0.5 < report["flow"]["two_sample"]["auroc"] <= 1
    assert report["memorisation"]["training_images"] == 6000
    assert report["seen_images"] == 0
    assert "fid" not in report
    assert len(report["reconstruction"]["per_class"]) == 10


def test_copies_of_the_models_own_training_images_are_found(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paecli.evaluation.evaluate.COMPARED", 300)
    pae, header = load_pae(model_file)
    drawn = pae.sample(300, generator=torch.Generator().manual_seed(0))
    for number, image in enumerate(drawn):
        write_image(tmp_path / "own" / f"{number:03}.png", image)
    data = load_dataset(str(tmp_path / "own"))
    pae.trained_on.remember(content_keys(data.train.images))
    settings = {"dataset": str(tmp_path / "own"), "split_by": "content"}
    changes = {
        "data": {"content_hash": data.content_hash},
        "config": {"autoencoder": {"data": settings}},
    }
    save_pae(tmp_path / "model.safetensors", pae, header.model_copy(update=changes))
    found = evaluate(tmp_path / "model.safetensors", seed=0).memorisation
    assert found is not None
    assert found.training_images == len(data.train)
    assert found.copying_z < -5
    assert found.very_close > 0.8
    # another set than the model's own says nothing about copies, unless its images are there
    assert evaluate(tmp_path / "model.safetensors", dataset="mnist-mini").memorisation is None


def test_it_repeats_itself(model: Path) -> None:
    assert evaluate(model, seed=4).as_dict() == evaluate(model, seed=4).as_dict()


def test_distances_are_part_of_the_report(model: Path) -> None:
    options = SampleQualityOptions(Pooling(), kid=True, samples=400)
    report = json.loads(json.dumps(evaluate(model, compare=options).as_dict(), allow_nan=False))
    for name in ("fid", "kid"):
        distances = report[name]
        assert distances["features"] == "pooling"
        assert distances["train"] < distances["samples"] < distances["noise"]
        assert distances["intervals"]["train"][0] <= distances["train"]
        assert "400 images against 400 test images of fmnist-mini" in distances["protocol"]
    assert set(report["coverage"]) == {"samples", "reconstructions", "decoded_normal"}


def test_sets_are_as_large_as_the_test_set_unless_a_size_is_given(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paecli.evaluation.evaluate.MOST_SAMPLES", 150)
    options = SampleQualityOptions(Pooling(), fid=False, kid=True)
    asked = replace(options, samples=200)
    for compare, count in ((options, 150), (asked, 200)):
        quality = evaluate(model, compare=compare).sample_quality
        assert quality is not None
        assert quality.kernel is not None
        assert f"{count} images against {count} test" in quality.kernel.protocol


@pytest.mark.parametrize("order", [lambda k: k % 10, lambda k: k // 50], ids=["turns", "sorted"])
def test_some_of_a_set_stand_for_all_however_it_is_ordered(
    order: Callable[[Tensor], Tensor],
) -> None:
    chosen = _some(500, 100)
    assert len(chosen.unique()) == len(chosen) == 100
    assert order(chosen).bincount(minlength=10).min() >= 4  # of ten images of each class
    assert _some(3, 10).tolist() == [0, 1, 2]


def test_without_a_flow_only_the_autoencoder_is_judged(model_file: Path, tmp_path: Path) -> None:
    pae, header = load_pae(model_file)
    path = tmp_path / "stage1.safetensors"
    changes = {"kind": "autoencoder", "flow": None, "data": {"dataset": "mnist-mini"}}
    save_pae(path, PAE(pae.autoencoder), header.model_copy(update=changes))
    report = evaluate(path, compare=SampleQualityOptions(Pooling(), samples=100)).as_dict()
    assert report["flow"] is report["memorisation"] is report["interpolation"] is None
    assert report["fid"]["samples"] is None
    assert report["fid"]["reconstructions"] > 0
    assert report["substitute_for"] is None


def test_a_set_without_a_bundled_sample_is_an_error(model_file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="kmnist"):
        evaluate(trained_on("kmnist", model_file, tmp_path))


def test_a_model_that_does_not_know_its_data_asks_for_it(model_file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--dataset"):
        evaluate(trained_on("", model_file, tmp_path))
    assert evaluate(model_file, dataset="mnist-mini").dataset == "mnist-mini"


def test_too_few_images_to_compare(model: Path) -> None:
    with pytest.raises(UsageError, match="--samples 20"):
        evaluate(model, compare=SampleQualityOptions(Pooling(), samples=5))


def test_no_whole_set_is_turned_into_floats(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    convert = Model.as_images

    def watch(self: Model, x: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, len(x))
        return convert(self, x)

    monkeypatch.setattr(Model, "as_images", watch)
    evaluation = evaluate(model, dataset="fmnist-mini")
    assert evaluation.images == 1000
    assert largest <= BATCH


def test_images_that_are_compared_come_from_the_seed_alone(
    trained_pae: PAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[dict[str, Tensor]] = []

    def keep(reference: Tensor, sets: dict[str, Tensor], *_: object, **__: object) -> None:
        drawn.append(sets)

    monkeypatch.setattr("paecli.evaluation.evaluate.sample_quality", keep)
    options, data = SampleQualityOptions(Pooling(), samples=30), load_dataset("fmnist-mini")
    z = trained_pae.encode(data.test.images[:60])
    for seed in (3, 3, 4):
        _sample_quality(trained_pae, data, z, options, seed=seed, progress=NullProgress())
    assert {name: len(images) for name, images in drawn[0].items()} == dict.fromkeys(
        ("samples", "reconstructions", "decoded_gaussian", "train", "noise"), 30
    )
    for name, images in drawn[0].items():
        assert images.dtype == torch.uint8
        assert images.equal(drawn[1][name])
        depends = name in ("samples", "decoded_gaussian")
        assert images.equal(drawn[2][name]) != depends
