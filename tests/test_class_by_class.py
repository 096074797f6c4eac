"""Files of a folder lie class by class: what takes some of many takes some of each class."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from tests.peak_memory import peak_growth
from torch import Tensor

from paecli.api import PAE
from paecli.data import load_dataset, write_image
from paecli.data.images.photographs import list_photographs
from paecli.evaluation.evaluate import _examples
from paecli.export.export import _held_out
from paecli.model.held_out_errors import KEPT_IMAGES
from paecli.outliers.compare_sets import compare_sets
from paecli.restoration.guarantee.references import COMPARED, References
from paecli.store.checkpoint import Header
from paecli.system.limits import spread
from paecli.system.progress import NullProgress
from paecli.training.images import split_data
from paecli.training.settings import DataSettings

CLASSES = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images in each of four folders; a class has its own brightness, hardly varied."""
    there = tmp_path_factory.mktemp("classes")
    for each in range(CLASSES):
        for number in range(40):
            image = torch.full((1, 28, 28), each / CLASSES)
            image[0, number // 28, number % 28] = 1
            write_image(there / f"class-{each}" / f"{number:02}.png", image)
    return there


@pytest.fixture
def by_class() -> Tensor:
    """400 images `(400, 1, 28, 28)` uint8, a hundred of a class after the other."""
    draws = torch.randint(0, 40, (400, 1, 28, 28), generator=torch.Generator().manual_seed(0))
    return (draws + 60 * (torch.arange(400) // 100).view(-1, 1, 1, 1)).to(torch.uint8)


def shares(images: Tensor) -> Tensor:
    """Returns the share of each class among images `(n, c, h, w)`, uint8 or in [0, 1]."""
    scale = 60 / 255 if images.is_floating_point() else 60
    classes = (images.flatten(1).double().mean(1) / scale).long()
    return classes.bincount(minlength=CLASSES) / len(images)


@pytest.mark.parametrize(("total", "wanted"), [(10, 3), (7, 7), (5, 9), (100, 99), (3, None)])
def test_some_are_as_many_as_asked_for_and_evenly_spaced(total: int, wanted: int | None) -> None:
    numbers = spread(total, wanted)
    assert len(numbers) == min(total, wanted or total)
    gaps = torch.tensor([*numbers, total]).diff()
    assert numbers[0] == 0
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1


def test_training_on_some_takes_each_class(folder: Path) -> None:
    settings = DataSettings(dataset=str(folder), limit=40)
    kept, _ = split_data(settings, load_dataset(str(folder)))
    assert kept.labels is not None
    assert kept.labels.bincount(minlength=CLASSES).min() >= 8
    photographs = list_photographs(folder, limit=20)
    assert {file.parent.name for file in photographs.files} == {f"class-{n}" for n in range(4)}
    assert len(photographs.files) == 20


def test_a_named_set_gives_its_first_images_as_ever() -> None:
    settings = DataSettings(dataset="fmnist-mini", limit=40)
    data = load_dataset("fmnist-mini")
    some, _ = split_data(settings, data)
    every, _ = split_data(settings.model_copy(update={"limit": None}), data)
    assert torch.equal(some.images, every.images[:40])


def test_sets_are_compared_by_each_class(
    trained_pae: PAE, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def measured(model: object, images: Tensor, names: list[str], **_: object) -> dict[str, Tensor]:
        del model
        seen.append(images)
        return {name: torch.rand(len(images)) for name in names}

    monkeypatch.setattr("paecli.outliers.compare_sets.measure_scores", measured)
    header = Header(kind="pae", autoencoder={}, autoencoder_hash="", data={"dataset": "mnist-mini"})
    compare_sets(trained_pae, header, [str(folder)], scores=["log_prob"], limit=20)
    levels = seen[1].flatten(1).double().mean(1)
    assert [int(((levels - 255 * n / CLASSES).abs() < 5).sum()) for n in range(CLASSES)] == [5] * 4


def test_a_model_keeps_held_out_images_of_each_class(trained_pae: PAE, by_class: Tensor) -> None:
    model = deepcopy(trained_pae)
    model.measure_errors(by_class)
    assert len(model.held_out_errors.images) == KEPT_IMAGES
    assert shares(model.held_out_errors.images).tolist() == [0.25] * CLASSES
    u, _ = model.require_flow().to_base(model.encode(model.held_out_errors.images))
    assert torch.allclose(u, model.held_out_errors.u, atol=1e-4)


def test_an_image_is_compared_with_each_class(trained_pae: PAE, by_class: Tensor) -> None:
    images = References(trained_pae, by_class).images
    assert len(images) == COMPARED
    assert shares(images).tolist() == [0.25] * CLASSES


def test_an_exported_file_answers_for_each_class(trained_pae: PAE, by_class: Tensor) -> None:
    model = deepcopy(trained_pae)
    model.held_out_errors.images = by_class
    header = Header(kind="pae", autoencoder={}, autoencoder_hash="", data={"dataset": "nowhere"})
    images, _ = _held_out(model, header, 20, data_dir=None, progress=NullProgress())
    assert shares(images).tolist() == [0.25] * CLASSES


def test_a_report_shows_each_class(trained_pae: PAE, by_class: Tensor) -> None:
    shown = _examples(trained_pae, by_class, trained_pae.encode(by_class), seed=0)
    assert shares(shown.originals).min() > 0.1
    again = trained_pae.reconstruct(shown.originals)
    assert torch.allclose(again, shown.reconstructions, atol=1e-5)


def test_errors_of_many_images_take_bounded_memory(
    trained_pae: PAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paecli.model.model.MOST_VALUES", 500 * 28 * 28)
    model, many = deepcopy(trained_pae), torch.zeros(40_000, 1, 28, 28, dtype=torch.uint8)
    model.measure_errors(many[:600])  # once what every first call takes is taken
    assert peak_growth(lambda: model.measure_errors(many)) < 4 * many.numel() / 2
