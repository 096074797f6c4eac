from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from paecli.data import ImageFile, read_image, write_image
from paecli.restoration.masks.files import Mask, cover, read_mask
from paecli.system.errors import ImageError, UsageError

SIDE = 28
HOLE = (8, 8, 20, 20)  # left, upper, right, lower: 144 pixels
SIZE = 144


@pytest.fixture
def photo(blobs: Tensor, tmp_path: Path) -> ImageFile:
    """A picture of many greys."""
    write_image(tmp_path / "photo.png", 0.2 + 0.6 * blobs[500])
    return read_image(tmp_path / "photo.png", image_shape=(1, SIDE, SIDE))


@pytest.fixture
def large(blobs: Tensor, tmp_path: Path) -> ImageFile:
    write_image(tmp_path / "large.png", blobs[500].repeat_interleave(2, 1).repeat_interleave(2, 2))
    return read_image(tmp_path / "large.png", image_shape=(1, SIDE, SIDE))


def drawn(mode: str, background: object, paint: object, *, scale: int = 1) -> Image.Image:
    image = Image.new(mode, (SIDE * scale, SIDE * scale), background)
    image.paste(paint, tuple(scale * side for side in HOLE))
    return image


def read(image: Image.Image, of: ImageFile, name: str = "mask.png", **options: bool) -> Mask:
    path = of.path.with_name(name)
    image.save(path)
    return read_mask(str(path), of, **options)


@pytest.mark.parametrize(
    ("mode", "background", "paint"),
    [
        ("L", 0, 255),
        ("1", 0, 1),
        ("L", 2, 255),
        ("L", 16, 235),
        ("RGB", (2, 2, 2), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 0), (255, 255, 255, 255)),
        ("RGBA", (255, 255, 255, 0), (255, 255, 255, 255)),
        ("RGBA", (0, 0, 0, 255), (255, 255, 255, 255)),
        ("LA", (0, 0), (255, 255)),
        ("LA", (255, 0), (255, 255)),
        ("I;16", 0, 65535),
    ],
)
def test_white_is_missing_whatever_the_mode(
    photo: ImageFile, mode: str, background: object, paint: object
) -> None:
    mask = read(drawn(mode, background, paint), photo)
    assert int((~mask.observed).sum()) == SIZE
    assert not mask.observed[8:20, 8:20].any()


def test_in_an_inverted_mask_transparent_is_not_painted_either(photo: ImageFile) -> None:
    black_on_nothing = drawn("RGBA", (255, 255, 255, 0), (0, 0, 0, 255))
    mask = read(black_on_nothing, photo, invert=True)
    assert int((~mask.observed).sum()) == SIZE
    mask = read(drawn("L", 255, 0), photo, invert=True)
    assert int((~mask.observed).sum()) == SIZE


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
@pytest.mark.parametrize("high", [1, 3])
def test_masks_of_small_numbers(photo: ImageFile, mode: str, high: int) -> None:
    values = np.array(drawn("L", 0, high))
    image = Image.fromarray(values.astype(np.uint16) if mode == "I;16" else values)
    if mode == "P":
        image = image.convert("P")
        image.putpalette([0, 0, 0] + [0, 0, 90] * 3)  # label images are dark, too
    mask = read(image, photo)
    assert int((~mask.observed).sum()) == SIZE
    assert "two values only" in mask.notes[0]


@pytest.mark.parametrize("name", ["photo.png", "copy.png", "copy.tif"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_an_erased_hole_is_missing(photo: ImageFile, name: str, mode: str) -> None:
    with Image.open(photo.path) as opened:
        image = opened.convert(mode)
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, HOLE)
    image.putalpha(alpha)
    mask = read(image, photo, name)
    assert int((~mask.observed).sum()) == SIZE
    assert "is the image itself" in mask.notes[0]


def test_a_white_square_on_a_white_image_is_still_a_mask(tmp_path: Path) -> None:
    write_image(tmp_path / "white.png", torch.ones(1, SIDE, SIDE))
    white = read_image(tmp_path / "white.png", image_shape=(1, SIDE, SIDE))
    mask = read(drawn("RGBA", (0, 0, 0, 0), (255, 255, 255, 255)), white)
    assert not mask.observed[8:20, 8:20].any()
    assert int((~mask.observed).sum()) == SIZE


def test_the_size_of_a_hole_does_not_depend_on_how_black_or_sharp_it_is(large: ImageFile) -> None:
    sharp = read(drawn("L", 0, 255, scale=2), large).observed
    assert int((~sharp).sum()) == 14 * 14  # a ring of pixels has something of the hole in them
    for image in (
        drawn("L", 2, 255, scale=2),
        drawn("L", 16, 235, scale=2),
        drawn("RGBA", (255, 255, 255, 0), (255, 255, 255, 255), scale=2),
    ):
        assert torch.equal(read(image, large).observed, sharp)
    blurred = drawn("L", 0, 255, scale=2).filter(ImageFilter.GaussianBlur(3))
    difference = int((read(blurred, large).observed != sharp).sum())
    assert difference <= 16  # of 196: blurring rounds the corners


def test_no_observed_pixel_has_anything_of_a_missing_one(tmp_path: Path) -> None:
    """The picture is resized with two contents of the hole: what is observed stays the same."""
    hole = torch.zeros(300, 200, dtype=torch.bool)
    hole[101, 77] = hole[150:171, 33:60] = True
    seen = []
    for value in (0.0, 1.0):
        image = torch.full((1, 300, 200), 0.5).masked_fill(hole, value)
        write_image(tmp_path / f"{value}.png", image)
        seen.append(read_image(tmp_path / f"{value}.png", image_shape=(1, SIDE, SIDE)).pixels[0])
    missing = ~cover(~hole, (SIDE, SIDE))
    assert 0 < int(missing.sum()) < 60
    assert torch.equal(seen[0][~missing], seen[1][~missing])


def test_a_single_pixel_of_a_large_image_counts(tmp_path: Path) -> None:
    hole = torch.zeros(4000, 4000, dtype=torch.bool)
    hole[2001, 1999] = True
    assert 1 <= int((~cover(~hole, (SIDE, SIDE))).sum()) <= 4


def test_corners_of_a_box_are_those_of_the_users_image(large: ImageFile) -> None:
    missing = ~read_mask("box:16,16,40,40", large).observed
    assert missing[8:20, 8:20].all()
    assert int(missing.sum()) == 14 * 14
    assert not read_mask("box:0,0,56,56", large).observed.any()
    with pytest.raises(UsageError, match="56 pixels wide and 56 high"):
        read_mask("box:0,0,57,56", large)


def test_a_box_outside_the_centre_that_is_used(tmp_path: Path) -> None:
    write_image(tmp_path / "wide.png", torch.rand(1, SIDE, 3 * SIDE))
    wide = read_image(tmp_path / "wide.png", image_shape=(1, SIDE, SIDE))
    mask = read_mask("box:0,0,20,20", wide)
    assert mask.observed.all()
    assert "outside the central part" in mask.notes[0]


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (Image.new("L", (SIDE, SIDE), 0), "nothing is missing"),
        (Image.new("L", (SIDE, SIDE), 100), "nothing is missing"),
        (Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0)), "nothing is missing"),
        (Image.new("L", (SIDE, SIDE), 255), "everything is missing"),
        (drawn("L", 255, 0).resize((SIDE, SIDE), box=(0, 0, 9, 9)), "of the pixels are missing"),
    ],
)
def test_extremes_are_said(photo: ImageFile, image: Image.Image, says: str) -> None:
    assert any(says in note for note in read(image, photo).notes)


def test_shapes_that_hide_much_are_as_asked_for(photo: ImageFile) -> None:
    assert read_mask("random:0.97", photo).notes == ()
    assert "everything" in read_mask("random:1", photo).notes[0]
    assert "nothing" in read_mask("random:0", photo).notes[0]


def test_a_photograph_as_a_mask_is_doubted(photo: ImageFile) -> None:
    greys = np.linspace(0, 255, SIDE * SIDE).astype(np.uint8).reshape(SIDE, SIDE)
    assert "is it a mask?" in read(Image.fromarray(greys), photo).notes[0]


def test_a_turned_mask_is_turned(photo: ImageFile) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    image = Image.new("L", (SIDE, SIDE))
    image.paste(255, (0, 0, 5, 28))
    image.save(photo.path.with_name("turned.png"), exif=exif)
    missing = ~read_mask(str(photo.path.with_name("turned.png")), photo).observed
    assert missing[:, -5:].all()
    assert int(missing.sum()) == 5 * 28


def test_a_mask_of_another_size_is_refused(photo: ImageFile) -> None:
    with pytest.raises(ImageError, match="30 x 28 pixels"):
        read(Image.new("L", (30, 28), 255), photo)
