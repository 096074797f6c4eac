"""Masks, noise maps and truths that are found by the images' names."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.listener import Listener
from torch import Tensor

from paecli.api import PAE
from paecli.data import write_image
from paecli.data.images.files import read_image
from paecli.restoration.files import RestoredFile, restore_files
from paecli.restoration.noise_maps import read_noise
from paecli.restoration.reading import RestoreSettings
from paecli.system.errors import ImageError, UsageError

QUICK = RestoreSettings(mask="left", method="map", starts=2, samples=2)


@pytest.fixture
def photos(blobs: Tensor, tmp_path: Path) -> Path:
    for name, blob in zip(("a", "b", "deep/c"), blobs[500:503], strict=True):
        write_image(tmp_path / "photos" / f"{name}.png", blob)
    return tmp_path / "photos"


def columns(first: int) -> Tensor:
    mask = torch.zeros(1, 28, 28)
    mask[:, :, :first] = 1
    return mask


def restore(
    pae: PAE, source: Path, settings: RestoreSettings, heard: Listener | None = None, **more: Path
) -> list[RestoredFile]:
    told = heard or Listener()
    return list(restore_files(pae, source, settings, out=Path("out"), progress=told, **more))


def test_each_image_has_the_mask_of_its_name(
    trained_pae: PAE, photos: Path, tmp_path: Path
) -> None:
    for count, name in enumerate(("a.png", "b.bmp", "deep/c.png"), start=3):
        file = tmp_path / "masks" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((columns(count)[0] * 255).byte().numpy()).save(file)
    settings = replace(QUICK, mask=str(tmp_path / "masks"))
    found = restore(trained_pae, photos, settings)
    assert [each.missing_pixels for each in found] == [28 * 3, 28 * 4, 28 * 5]
    alone = restore(trained_pae, photos / "b.png", settings)
    assert [each.missing_pixels for each in alone] == [28 * 4]


def test_missing_partners_are_named_before_anything_is_computed(
    trained_pae: PAE, photos: Path, tmp_path: Path
) -> None:
    for folder in ("masks", "truth", "noise"):
        write_image(tmp_path / folder / "a.png", columns(9))
    write_image(tmp_path / "masks" / "deep" / "c.png", columns(9))
    heard = Listener()
    settings = replace(QUICK, mask=str(tmp_path / "masks"))
    files = restore_files(
        trained_pae, photos, settings, out=Path("out"), truth=tmp_path / "truth", progress=heard
    )
    first = next(files)
    assert first.path.name == "a.png"
    assert any("1 of 3 images have no mask" in line and "b.png" in line for line in heard.lines)
    assert any("1 of 2 images have no truth" in line and "c.png" in line for line in heard.lines)
    assert [each.path.name for each in files] == ["c.png"]
    write_image(photos / "other.png", columns(2))
    for source, words in ((photos / "b.png", "no mask"), (photos / "other.png", "no mask")):
        with pytest.raises(ImageError, match=words):
            restore(trained_pae, source, settings)
    (tmp_path / "empty").mkdir()
    for settings in (
        replace(QUICK, mask=str(tmp_path / "empty")),
        replace(QUICK, noise=tmp_path / "empty"),
    ):
        with pytest.raises(ImageError, match="4 of 4 images have no"):
            restore(trained_pae, photos, settings)


def test_two_candidates_are_no_partner(trained_pae: PAE, photos: Path, tmp_path: Path) -> None:
    for ending in ("bmp", "tif"):
        write_image(tmp_path / "masks" / f"a.{ending}", columns(3))
    with pytest.raises(ImageError, match="no mask of their name"):
        restore(trained_pae, photos / "a.png", replace(QUICK, mask=str(tmp_path / "masks")))


def test_a_noise_map_is_a_picture_or_an_array(photos: Path, tmp_path: Path) -> None:
    image = read_image(photos / "a.png", image_shape=(1, 28, 28))
    deviations = torch.linspace(0, 1, 28).expand(1, 28, 28)
    write_image(tmp_path / "sigma.png", deviations)
    np.save(tmp_path / "sigma.npy", deviations[0].numpy())
    np.save(tmp_path / "colour.npy", deviations[0].numpy()[..., None].repeat(3, -1))
    for name, tolerance in (("sigma.png", 0.51 / 255), ("sigma.npy", 0), ("colour.npy", 1e-6)):
        found = read_noise(tmp_path / name, image)
        torch.testing.assert_close(found, deviations, atol=tolerance, rtol=0)
    assert read_noise(0.25, image) == 0.25


def test_where_the_noise_map_is_black_pixels_are_exact(
    trained_pae: PAE, photos: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "sigma.npy", 0.3 * columns(10)[0].numpy())
    settings = replace(QUICK, mask="none", noise=tmp_path / "sigma.npy", method="laplace")
    (found,) = restore(trained_pae, photos / "a.png", settings)
    assert torch.equal(found.restoration.std[0] > 0, columns(10)[0].bool())


@pytest.mark.parametrize(
    ("array", "error", "words"),
    [
        (np.full((28, 28), 25.0), UsageError, r"25 of 255.*0\.098"),
        (np.full((28, 28), -0.1), ImageError, "below 0"),
        (np.full((28, 28), np.nan), ImageError, "NaN"),
        (np.zeros((27, 28)), ImageError, "28 x 27 pixels"),
        (np.zeros(28), ImageError, "shape"),
        (np.zeros((28, 28, 2)), ImageError, "2 channels"),
        (np.array(["a"]), ImageError, "type"),
    ],
)
def test_impossible_noise_maps_are_refused(
    photos: Path, tmp_path: Path, array: np.ndarray, error: type[Exception], words: str
) -> None:
    image = read_image(photos / "a.png", image_shape=(1, 28, 28))
    np.save(tmp_path / "sigma.npy", array)
    with pytest.raises(error, match=words) as refusal:
        read_noise(tmp_path / "sigma.npy", image)
    assert "\n" not in str(refusal.value)


def test_a_pickle_or_text_called_npy_is_refused(photos: Path, tmp_path: Path) -> None:
    image = read_image(photos / "a.png", image_shape=(1, 28, 28))
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("0.1")
    np.savez(tmp_path / "archive", sigma=np.zeros((28, 28)))
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    np.save(tmp_path / "header.npy", np.zeros((28, 28)))
    odd = (tmp_path / "header.npy").read_bytes().replace(b"'<f8'", b"'<f8(")
    (tmp_path / "header.npy").write_bytes(odd)
    for name in ("pickle.npy", "text.npy", "archive.npy", "header.npy"):
        with pytest.raises(ImageError, match="NumPy"):
            read_noise(tmp_path / name, image)


def test_a_small_image_comes_back_in_the_models_size(
    trained_pae: PAE, blobs: Tensor, tmp_path: Path
) -> None:
    write_image(tmp_path / "true.png", blobs[500])
    small = torch.nn.functional.avg_pool2d(blobs[500][None], 2)[0]
    write_image(tmp_path / "small.png", small)
    settings = replace(QUICK, mask="none", downsample=2, method="laplace", starts=8)
    (found,) = restore(trained_pae, tmp_path / "small.png", settings, truth=tmp_path / "true.png")
    assert found.damaged.shape == (1, 14, 14)
    assert found.restoration.mean.shape == (1, 28, 28)
    assert found.coverage is not None
    error = (found.restoration.mean - blobs[500]).square().mean()
    assert error < 0.5 * (blobs[:500].mean(0) - blobs[500]).square().mean()
