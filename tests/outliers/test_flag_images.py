import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests.listener import Listener
from torch import Tensor

from paecli.api import PAE
from paecli.data import write_image
from paecli.data.images.files import read_image
from paecli.outliers import score_files as module
from paecli.outliers.flag_images import flag_images
from paecli.outliers.residual_maps import with_maps
from paecli.outliers.scores import fit_reference_scores, measure_with_parts
from paecli.system.errors import CheckpointError, DataError, ImageError, UsageError


@pytest.fixture(scope="module")
def fitted(trained_pae: PAE, blobs: Tensor) -> PAE:
    model = copy.deepcopy(trained_pae)
    model.fit_sigma(blobs[400:])
    fit_reference_scores(model, blobs[400:], training=blobs[:400])
    return model


@pytest.fixture
def folder(blobs: Tensor, tmp_path: Path) -> Path:
    """Five reference images and one of noise."""
    for index in range(5):
        write_image(tmp_path / f"normal-{index}.png", blobs[index])
    write_image(tmp_path / "odd.png", torch.rand(1, 28, 28))
    return tmp_path


def test_the_odd_image_is_flagged_and_shown_first(fitted: PAE, folder: Path) -> None:
    report = flag_images(fitted, [folder], score="combined", fpr=0.02)
    assert report.unusual[0].path.name == "odd.png"
    assert report.unusual[0].outlier
    assert report.unusual[0].p_value == 1 / 101  # more unusual than all reference images
    assert report.flagged < len(report.images)
    assert tuple(report.ranked[:6]) == report.unusual
    assert report.unusual_pixels.shape == report.unusual_reconstructions.shape == (6, 1, 28, 28)


def test_an_animation_is_said_to_count_by_its_first_image(fitted: PAE, folder: Path) -> None:
    with Image.open(folder / "odd.png") as noise, Image.open(folder / "normal-1.png") as still:
        still.save(folder / "moving.gif", save_all=True, append_images=[noise.copy()])
    heard = Listener()
    flag_images(fitted, [folder], score="log_prob", progress=heard)
    assert any("moving.gif holds several pictures" in line for line in heard.lines)


def test_values_are_those_of_the_model(fitted: PAE, folder: Path) -> None:
    path = folder / "normal-2.png"
    report = flag_images(fitted, [path], score="log_prob")
    x = report.unusual_pixels
    assert report.images[0].log_prob == pytest.approx(fitted.log_prob(x).item(), rel=1e-4)
    error = (fitted.reconstruct(x) - x).square().mean().item()
    assert report.images[0].reconstruction_error == pytest.approx(error, rel=1e-4)
    assert report.images[0].p_value == pytest.approx(fitted.p_value(x).item())


def test_false_discovery_rate_is_stricter_on_many_images(
    fitted: PAE, blobs: Tensor, tmp_path: Path
) -> None:
    for index in range(40):
        write_image(tmp_path / f"{index:02}.png", blobs[index])
    assert flag_images(fitted, [tmp_path], score="combined", fdr=0.05).flagged == 0


def test_files_that_cannot_be_read_do_not_stop_the_others(fitted: PAE, folder: Path) -> None:
    (folder / "broken.png").write_bytes(b"no image")
    report = flag_images(fitted, [folder], score="combined")
    assert len(report.images) == 6
    assert report.unreadable[0][0].name == "broken.png"
    with pytest.raises(ImageError, match="broken"):
        flag_images(fitted, [folder / "broken.png"], score="combined")


def test_rates_that_the_model_cannot_tell_are_refused(fitted: PAE, folder: Path) -> None:
    with pytest.raises(UsageError, match=r"at least 0\.01\b"):
        flag_images(fitted, [folder], score="combined", fpr=0.001)


def test_missing_calibration_and_paths_are_named(
    fitted: PAE, trained_pae: PAE, folder: Path
) -> None:
    with pytest.raises(CheckpointError, match="no reference scores of 'combined'"):
        flag_images(trained_pae, [folder], score="combined")
    with pytest.raises(DataError, match="nowhere"):
        flag_images(fitted, [folder / "nowhere"], score="combined")


def test_files_that_vanish_after_scoring_lose_nothing(
    fitted: PAE, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score_and_remove(*arguments: Any) -> Any:
        scores = measure_with_parts(*arguments)
        for path in folder.glob("*.png"):
            path.unlink()
        return scores

    monkeypatch.setattr(module, "measure_with_parts", score_and_remove)
    report = flag_images(fitted, [folder], score="combined", fpr=0.02)
    assert report.unusual[0].path.name == "odd.png"
    assert report.unusual_pixels.shape == (6, 1, 28, 28)


def test_pictures_are_those_of_the_most_unusual_of_many(
    fitted: PAE, blobs: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 7)
    for index in range(20):
        write_image(tmp_path / f"{index:02}.png", blobs[index])
    report = flag_images(fitted, [tmp_path], score="log_prob")
    shown = [read_image(each.path, image_shape=(1, 28, 28)).pixels for each in report.unusual]
    assert torch.equal(report.unusual_pixels, torch.stack(shown))
    assert [each.score for each in report.unusual] == sorted(
        (each.score for each in report.images), reverse=True
    )[:8]


def test_images_that_vanish_before_their_map_stay_flagged(
    fitted: PAE, folder: Path, blobs: Tensor
) -> None:
    report = flag_images(fitted, [folder], score="combined", fpr=0.1)
    (folder / "odd.png").unlink()
    model = copy.deepcopy(fitted)
    model.measure_errors(blobs[400:])
    mapped = with_maps(model, report, show=lambda found: None)
    by_name = {image.path.name: image for image in mapped.images}
    assert by_name["odd.png"].outlier
    assert by_name["odd.png"].regions is None
    assert by_name["normal-0.png"].regions is not None
