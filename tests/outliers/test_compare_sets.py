from pathlib import Path

import pytest
import torch
from torch import Tensor

from paecli.api import PAE
from paecli.data import load_dataset, write_image
from paecli.data.model_data import fit_images
from paecli.model.origin import Origin
from paecli.outliers.compare_sets import compare_sets
from paecli.outliers.comparison_sets import default_sets, reference_set
from paecli.outliers.scores import FAST_SCORES
from paecli.store.checkpoint import Header
from paecli.system.errors import DataError, UsageError


def header_of(dataset: str) -> Header:
    return Header(kind="pae", autoencoder={}, autoencoder_hash="", data={"dataset": dataset})


def test_every_set_is_compared_under_every_score(trained_pae: PAE) -> None:
    found = compare_sets(
        trained_pae,
        header_of("fmnist-mini"),
        ["noise", "fmnist-mini"],
        scores=["log_prob", "reconstruction_error"],
        limit=100,
    )
    results = {(each.dataset, each.score): each.metrics for each in found.results}
    assert found.reference_count == 100
    reference, noise = (found.scores[name]["log_prob"] for name in ("fmnist-mini", "noise"))
    higher = (noise[:, None] > reference).double().mean().item()
    assert results["noise", "log_prob"].auroc == pytest.approx(higher, abs=1e-9)
    assert results["fmnist-mini", "log_prob"].auroc == 0.5
    assert set(found.scores["noise"]) == {"log_prob", "reconstruction_error"}


def test_folders_of_any_size_are_brought_to_the_models_shape(
    trained_pae: PAE, tmp_path: Path
) -> None:
    for index in range(3):
        write_image(tmp_path / f"{index}.png", torch.rand(3, 40, 50))
    (tmp_path / "broken.png").write_bytes(b"no image")
    found = compare_sets(
        trained_pae, header_of("mnist-mini"), [str(tmp_path)], scores=["log_prob"], limit=50
    )
    assert found.results[0].images == 3


@pytest.mark.parametrize("asked_twice", [False, True])
def test_a_set_called_like_the_models_own_is_another_set(
    asked_twice: bool, trained_pae: PAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise in a folder with the base name of the training folder was compared with itself."""
    monkeypatch.chdir(tmp_path)
    own, other = tmp_path / "mine" / "photos", tmp_path / "photos"
    for folder in (own, other):
        folder.mkdir(parents=True)
    blob = torch.exp(-(torch.arange(28.0) - 14).square() / 20)
    for index in range(30):
        write_image(own / f"{index}.png", (0.7 + index / 100) * torch.outer(blob, blob)[None])
        write_image(other / f"{index}.png", torch.rand(1, 28, 28))
    against = ["photos", str(other)] if asked_twice else ["photos"]
    header = header_of(str(own))
    header.data["content_hash"] = load_dataset(str(own), split_by="position").content_hash
    found = compare_sets(trained_pae, header, against, scores=["log_prob"])
    assert [each.metrics.auroc for each in found.results] == [1.0] * len(against)
    assert len(found.scores) == 1 + len(against)


def test_stand_ins_of_two_names_are_both_kept(
    trained_pae: PAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paecli.data.datasets.find_location", lambda *_: None)
    found = compare_sets(
        trained_pae,
        header_of("fmnist-mini"),
        ["mnist", "mnist-mini"],
        scores=["log_prob"],
        data_dir=tmp_path,
        limit=20,
    )
    assert len(found.scores) == 3


def test_a_bundled_sample_stands_in_for_a_set_that_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paecli.data.datasets.find_location", lambda *_: None)
    reference = reference_set(Origin("fmnist", "", (1, 28, 28)), data_dir=tmp_path)
    assert (reference.name, reference.substitute_for) == ("fmnist-mini", "fmnist")
    with pytest.raises(DataError):
        reference_set(Origin("kmnist", "", (1, 28, 28)), data_dir=tmp_path)


def test_unknown_sets_and_scores_are_named(trained_pae: PAE) -> None:
    with pytest.raises(UsageError, match="--against nothing-here"):
        compare_sets(trained_pae, header_of("mnist-mini"), ["nothing-here"], scores=["log_prob"])
    with pytest.raises(UsageError, match="no score 'x'"):
        compare_sets(trained_pae, header_of("mnist-mini"), ["noise"], scores=["x"])
    with pytest.raises(DataError, match="does not say which images it was trained on"):
        compare_sets(trained_pae, header_of(""), ["noise"], scores=FAST_SCORES)


def test_defaults_suit_the_training_data() -> None:
    assert default_sets("fmnist")[0] == "mnist"
    assert default_sets("mnist-mini")[0] == "fmnist"
    assert "mnist" not in default_sets("photos/")


def test_images_of_the_right_shape_stay_as_they_are(blobs: Tensor) -> None:
    images = (blobs[:3] * 255).to(torch.uint8)
    assert fit_images(images, (1, 28, 28)) is images
    assert fit_images(images, (3, 14, 14)).shape == (3, 3, 14, 14)
