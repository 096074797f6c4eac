from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from paecli.api import PAE
from paecli.data import write_image
from paecli.data.images.files import read_image
from paecli.data.images.opening import MemoryFile
from paecli.report.restore_plots import pictures, write_pictures
from paecli.restoration.files import (
    RestoredFile,
    RestoreSettings,
    restore_files,
    restore_image,
)
from paecli.restoration.masks.files import read_mask_file
from paecli.restoration.samplers import prior_pool
from paecli.system.errors import DataError, ImageError, PaeError, UsageError
from paecli.system.progress import NullProgress

QUICK = RestoreSettings(mask="left", method="laplace", starts=8, samples=4)


@pytest.fixture
def folder(blobs: Tensor, tmp_path: Path) -> Path:
    for index, blob in enumerate(blobs[500:503]):
        write_image(tmp_path / "in" / f"{index}.png", blob)
    return tmp_path / "in"


def restore(
    model: PAE, source: Path, settings: RestoreSettings, **more: Path
) -> list[RestoredFile]:
    return list(restore_files(model, source, settings, out=Path("out"), **more))


def test_what_is_under_the_mask_is_never_looked_at(
    trained_pae: PAE, blobs: Tensor, tmp_path: Path
) -> None:
    other = blobs[500].clone()
    other[:, :, :14] = torch.rand(1, 28, 14)
    for name, image in (("a", blobs[500]), ("b", other)):
        write_image(tmp_path / f"{name}.png", image)
    first, second = (
        restore(trained_pae, tmp_path / f"{name}.png", QUICK)[0].restoration for name in "ab"
    )
    assert torch.equal(first.mean, second.mean)
    assert torch.equal(first.samples, second.samples)


def test_observed_pixels_stay_and_the_truth_gives_coverage(trained_pae: PAE, folder: Path) -> None:
    for each in restore(trained_pae, folder, QUICK, truth=folder):
        assert each.truth is not None
        seen = ~each.damaged.isnan()
        assert torch.equal(each.restoration.mean[seen], each.truth[seen])
        assert each.coverage is not None
        assert 0 <= each.coverage[0.5] <= each.coverage[0.95] <= 1
        assert each.folder == Path("out") / each.path.stem


def test_seeing_half_an_image_helps(trained_pae: PAE, folder: Path) -> None:
    """The restored half is nearer to the truth than the same half of another image."""
    results = restore(trained_pae, folder, replace(QUICK, mask="bottom"), truth=folder)
    missing = results[0].damaged.isnan()
    halves = torch.stack([each.restoration.mean[missing] for each in results])
    truths = torch.stack([each.truth[missing] for each in results if each.truth is not None])
    own = (halves - truths).square().mean()
    others = (halves - truths.roll(1, 0)).square().mean()
    assert own < others


def test_company_changes_no_answer(
    trained_pae: PAE, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prior_pool, "MOST_DRAWS", 1024)
    for method in ("map", "laplace", "auto"):
        settings = replace(QUICK, method=method)
        together = restore(trained_pae, folder, settings)[1].restoration
        alone = restore(trained_pae, folder / "1.png", settings)[0].restoration
        for name in ("map", "mean", "std", "predictive"):
            torch.testing.assert_close(getattr(together, name), getattr(alone, name))


def test_mask_files_are_white_where_missing(trained_pae: PAE, folder: Path, tmp_path: Path) -> None:
    mask = torch.zeros(1, 28, 28)
    mask[:, :, :5] = 1
    write_image(tmp_path / "mask.png", mask)
    settings = replace(QUICK, mask=str(tmp_path / "mask.png"))
    seen = restore(trained_pae, folder / "0.png", settings)[0].damaged
    assert torch.equal(seen.isnan(), mask.bool())
    inverted = replace(settings, invert_mask=True)
    seen = restore(trained_pae, folder / "0.png", inverted)[0].damaged
    assert torch.equal(seen.isnan(), ~mask.bool())


def test_a_folder_called_like_a_mask_is_no_mask(
    trained_pae: PAE, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    Path("left").mkdir()
    found = restore(trained_pae, folder / "0.png", replace(QUICK, mask="left"))[0]
    assert found.damaged[0, :, 0].isnan().all()


def test_pictures_of_namesakes_do_not_share_a_folder(trained_pae: PAE, folder: Path) -> None:
    (folder / "0.tif").write_bytes((folder / "0.png").read_bytes())
    found = {each.folder.name for each in restore(trained_pae, folder, QUICK)}
    assert found == {"0.png", "0.tif", "1", "2"}


def test_what_it_wrote_is_no_input_the_next_time(trained_pae: PAE, folder: Path) -> None:
    out = folder / "restored"
    for _ in range(2):
        restored = list(restore_files(trained_pae, folder, QUICK, out=out))
        assert len(restored) == 3
        for each in restored:
            write_pictures(each)
    elsewhere = list(restore_files(trained_pae, folder, QUICK, out=folder / "again"))
    assert len(elsewhere) == 3


def test_misfits_and_missing_truths_do_not_stop_a_folder(
    trained_pae: PAE, folder: Path, tmp_path: Path
) -> None:
    write_image(folder / "3.png", torch.ones(1, 30, 28))
    write_image(folder / "4.png", torch.zeros(1, 30, 28))
    mask = torch.zeros(1, 30, 28)
    mask[:, 5:9, 5:9] = 1
    write_image(tmp_path / "mask.png", mask)
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "4.png").write_bytes((folder / "4.png").read_bytes())
    settings = replace(QUICK, mask=str(tmp_path / "mask.png"))
    restored = restore(trained_pae, folder, settings, truth=tmp_path / "truth")
    assert [each.path.name for each in restored] == ["3.png", "4.png"]
    assert [each.coverage is None for each in restored] == [True, False]


def test_of_a_single_image_the_truth_must_be_there_and_readable(
    trained_pae: PAE, folder: Path, tmp_path: Path
) -> None:
    truths = tmp_path / "truth"
    write_image(truths / "1.png", torch.zeros(1, 28, 28))
    (truths / "2.png").write_bytes(b"none")
    with pytest.raises(ImageError, match="have no truth of their name"):
        restore(trained_pae, folder / "0.png", QUICK, truth=truths)
    with pytest.raises(ImageError, match=r"2\.png"):
        restore(trained_pae, folder / "2.png", QUICK, truth=truths)
    told = restore(trained_pae, folder, QUICK, truth=truths)
    assert [each.coverage is None for each in told] == [True, False, True]


def test_a_mask_that_fits_no_image_is_refused(
    trained_pae: PAE, folder: Path, tmp_path: Path
) -> None:
    write_image(tmp_path / "mask.png", torch.ones(1, 30, 28))
    for source in (folder, folder / "0.png"):
        with pytest.raises(ImageError, match=r"28 x 30 pixels.*28 x 28"):
            restore(trained_pae, source, replace(QUICK, mask=str(tmp_path / "mask.png")))


def test_a_large_image_and_its_mask_are_resized_together(trained_pae: PAE, tmp_path: Path) -> None:
    write_image(tmp_path / "large.png", torch.full((1, 56, 56), 0.5))
    mask = torch.zeros(1, 56, 56)
    mask[:, 10, 10] = 1  # a single pixel makes its whole block missing
    write_image(tmp_path / "mask.png", mask)
    settings = replace(QUICK, mask=str(tmp_path / "mask.png"))
    seen = restore(trained_pae, tmp_path / "large.png", settings)[0].damaged
    assert bool(seen[0, 5, 5].isnan())
    assert int(seen.isnan().sum()) < 10


def test_everything_missing_gives_the_prior(trained_pae: PAE, folder: Path) -> None:
    result = restore(trained_pae, folder / "0.png", replace(QUICK, mask="random:1"))[0].restoration
    assert result.degrees_of_freedom == 0
    assert result.chi2 == 0
    assert float(result.samples_u.std()) == pytest.approx(1, abs=0.5)


def test_nothing_to_restore_is_said(trained_pae: PAE, folder: Path) -> None:
    with pytest.raises(UsageError, match="nothing to restore"):
        restore(trained_pae, folder, replace(QUICK, mask="none"))


def test_bad_files_of_a_folder_are_skipped_but_not_a_single_one(
    trained_pae: PAE, folder: Path
) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG")
    assert len(restore(trained_pae, folder, QUICK)) == 3
    with pytest.raises(ImageError):
        restore(trained_pae, folder / "broken.png", QUICK)


@pytest.mark.parametrize("name", ["absent.png", "."])
def test_no_image_is_one_line(trained_pae: PAE, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError) as failure:
        restore(trained_pae, tmp_path / name, QUICK)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("image", "mask", "noise"),
    [
        (torch.full((1, 28, 28), torch.nan), None, 0.0),
        (torch.full((1, 28, 28), 2.0), None, 0.0),
        (torch.zeros(1, 27, 28), None, 0.1),
        (torch.zeros(1, 28, 28), torch.ones(27, 28), 0.0),
        (torch.zeros(1, 28, 28), None, float("nan")),
        (torch.zeros(1, 28, 28), None, -1.0),
    ],
)
def test_impossible_input_is_refused(
    trained_pae: PAE, image: Tensor, mask: Tensor | None, noise: float
) -> None:
    with pytest.raises(PaeError) as refusal:
        trained_pae.restore(image, mask=mask, noise=noise)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "magic"}, "no method 'magic'"),
        ({"samples": 0}, "at least 1"),
        ({"starts": 0}, "at least 1"),
    ],
)
def test_impossible_ways_are_refused(trained_pae: PAE, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        trained_pae.restore(torch.zeros(1, 28, 28), noise=0.1, **given)


def test_nan_under_the_mask_is_fine(trained_pae: PAE, blobs: Tensor) -> None:
    image, mask = blobs[500].clone(), torch.ones(28, 28)
    mask[:, :14] = 0
    image[:, :, :14] = torch.nan
    result = trained_pae.restore(image, mask=mask, method="laplace", starts=8)
    assert bool(result.mean.isfinite().all())


def test_bytes_in_memory_give_the_pictures_of_files(
    trained_pae: PAE, folder: Path, tmp_path: Path
) -> None:
    mask = tmp_path / "mask.png"
    drawn = torch.zeros(1, 28, 28)
    drawn[:, 5:15, 8:20] = 1
    write_image(mask, drawn)
    source = folder / "0.png"
    (from_file,) = restore(trained_pae, source, replace(QUICK, mask=str(mask)))
    image = read_image(MemoryFile("0.png", source.read_bytes()), image_shape=(1, 28, 28))
    hole = read_mask_file(MemoryFile("mask.png", mask.read_bytes()), image)
    assert pictures(restore_image(trained_pae, image, hole, QUICK)) == pictures(from_file)
    with pytest.raises(UsageError, match="nothing to restore"):
        restore_image(trained_pae, image, replace(hole, observed=hole.observed | True), QUICK)


def test_no_name_of_bytes_in_memory_is_looked_up_on_the_disk(folder: Path) -> None:
    content = (folder / "0.png").read_bytes()
    image = read_image(MemoryFile("nowhere/0.png", content), image_shape=(1, 28, 28))
    assert str(image.path) == "nowhere/0.png"
    with pytest.raises(ImageError, match="mask is not an image"):
        read_mask_file(MemoryFile("mask", b"words"), image)
    with pytest.raises(ImageError, match="empty is empty"):
        read_image(MemoryFile("empty", b""), image_shape=(1, 28, 28))


@pytest.mark.parametrize(("noise", "warned"), [(1e-4, True), (0.9, False)])
def test_a_model_less_exact_than_the_noise_is_said_once(
    trained_pae: PAE, folder: Path, noise: float, warned: bool
) -> None:
    class Heard(NullProgress):
        lines: ClassVar[list[str]] = []

        def say(self, message: str) -> None:
            self.lines.append(message)

    Heard.lines.clear()
    settings = replace(QUICK, mask="none", noise=noise)
    list(restore_files(trained_pae, folder, settings, out=Path("out"), progress=Heard()))
    told = [line for line in Heard.lines if "own error" in line]
    assert len(told) == warned
