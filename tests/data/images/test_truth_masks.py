import unicodedata
from pathlib import Path

import pytest
from PIL import Image
from tests.listener import Listener

from paecli.data.images.partners import Partners
from paecli.data.images.truth_masks import match_masks, read_truth, unmatched
from paecli.system.errors import DataError, ImageError


def write(path: Path, *, size: tuple[int, int] = (6, 4)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.new("L", size)
    mask.putpixel((5, 1), 255)
    mask.save(path)
    return path


@pytest.mark.parametrize("name", ["a.png", "a_mask.png", "a_gt.bmp", "deep/er/a.png"])
def test_masks_are_called_like_their_images(tmp_path: Path, name: str) -> None:
    image = tmp_path / "images" / Path(name).parent / "a.jpg"
    mask = write(tmp_path / "masks" / name)
    others = [tmp_path / "images" / "b.jpg"]
    assert match_masks([image, *others], tmp_path / "masks") == {image: mask}


def test_sub_folders_tell_masks_of_one_name_apart(tmp_path: Path) -> None:
    masks = {kind: write(tmp_path / "masks" / kind / "1.png") for kind in ("hole", "crack")}
    images = {kind: tmp_path / "test" / kind / "1.jpg" for kind in ("hole", "crack", "good")}
    found = match_masks(list(images.values()), tmp_path / "masks")
    assert found == {images[kind]: masks[kind] for kind in masks}


def test_masks_without_sub_folders_serve_images_in_them(tmp_path: Path) -> None:
    mask = write(tmp_path / "masks" / "7.png")
    image = tmp_path / "test" / "hole" / "7.jpg"
    assert match_masks([image], tmp_path / "masks") == {image: mask}


def test_two_masks_of_one_image_are_an_error(tmp_path: Path) -> None:
    write(tmp_path / "masks" / "a.png")
    write(tmp_path / "masks" / "a_mask.png")
    with pytest.raises(DataError, match="two masks"):
        match_masks([tmp_path / "a.jpg"], tmp_path / "masks")


def test_masks_of_other_images_are_an_error(tmp_path: Path) -> None:
    write(tmp_path / "masks" / "b.png")
    with pytest.raises(DataError, match="name them alike"):
        match_masks([tmp_path / "a.jpg"], tmp_path / "masks")
    with pytest.raises(DataError, match="not a folder"):
        match_masks([tmp_path / "a.jpg"], tmp_path / "nothing")


def test_white_means_defective(tmp_path: Path) -> None:
    truth = read_truth(write(tmp_path / "a.png"), size=(4, 6))
    assert truth.nonzero().tolist() == [[1, 5]]
    assert not read_truth(None, size=(4, 6)).any()


def painted(path: Path, mode: str, back: object, front: object) -> Path:
    """One defective pixel, as other programs than ours write it."""
    mask = Image.new(mode, (6, 4), back)  # type: ignore[arg-type]
    mask.putpixel((5, 1), front)  # type: ignore[arg-type]
    mask.save(path)
    return path


@pytest.mark.parametrize(
    ("mode", "back", "front"),
    [
        ("L", 0, 1),
        ("L", 2, 40),
        ("1", 0, 1),
        ("I;16", 0, 1),
        ("I;16", 0, 65535),
        ("RGBA", (255, 255, 255, 0), (255, 255, 255, 255)),
        ("RGBA", (0, 0, 0, 0), (255, 255, 255, 255)),
        ("LA", (255, 0), (255, 255)),
        ("RGB", (0, 0, 0), (255, 255, 255)),
    ],
)
def test_masks_of_every_kind_are_read(
    tmp_path: Path, mode: str, back: object, front: object
) -> None:
    truth = read_truth(painted(tmp_path / "a.png", mode, back, front), size=(4, 6))
    assert truth.nonzero().tolist() == [[1, 5]]


def test_a_doubtful_mask_is_said(tmp_path: Path) -> None:
    heard = Listener()
    read_truth(painted(tmp_path / "a.png", "L", 0, 1), size=(4, 6), progress=heard)
    assert "the brighter one is taken for white" in heard.lines[0]


def test_masks_of_no_image_are_named(tmp_path: Path) -> None:
    mask, other = write(tmp_path / "masks" / "a.png"), write(tmp_path / "masks" / "b.png")
    found = match_masks([tmp_path / "a.jpg"], tmp_path / "masks")
    assert found == {tmp_path / "a.jpg": mask}
    assert unmatched(found, tmp_path / "masks") == [other]


def test_accents_are_the_same_however_they_are_written(tmp_path: Path) -> None:
    mask = write(tmp_path / "masks" / unicodedata.normalize("NFD", "Übersicht.png"))
    image = tmp_path / unicodedata.normalize("NFC", "Übersicht.jpg")
    assert match_masks([image], tmp_path / "masks") == {image: mask}
    assert Partners(image, tmp_path / "masks").of(image) == mask


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="6x4 pixels, its image 4x6"):
        read_truth(write(tmp_path / "a.png"), size=(6, 4))
