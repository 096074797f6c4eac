from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.listener import Listener

from paecli.data import find_images, read_image, read_images, write_image
from paecli.data.images.decoded import Recipe, decode_files
from paecli.system.errors import DataError, ImageError, WriteError

SHAPE = (1, 6, 4)
Writer = Callable[..., list[Path]]


def test_finds_files_and_what_folders_hold_sorted_and_once(
    tmp_path: Path, write_images: Writer
) -> None:
    deep = write_images(tmp_path / "a" / "deep", ["2.png", "1.JPG"])
    top = write_images(tmp_path / "a", ["0.webp", ".hidden.png"])
    (tmp_path / "a" / "notes.txt").write_text("no image")
    odd = tmp_path / "odd.dat"
    odd.write_bytes(b"taken because it was named")
    found = find_images([odd, tmp_path / "a", deep[0]])
    assert found == sorted([top[0], *deep, odd])


def test_says_when_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images in"):
        find_images([tmp_path])
    with pytest.raises(DataError, match=r"gone\.png does not exist"):
        find_images([tmp_path / "gone.png"])


def test_reports_bad_files_and_reads_the_others(tmp_path: Path, write_images: Writer) -> None:
    good = write_images(tmp_path, ["a.png", "c.png"])
    bad = tmp_path / "b.png"
    bad.write_bytes(b"rubbish")
    images, failures = read_images([good[0], bad, good[1]], image_shape=SHAPE)
    assert [image.path for image in images] == good
    assert [path for path, _ in failures] == [bad]
    assert "not an image" in failures[0][1]


SEVERAL = {
    # name: whether more pictures follow the first
    "moving.gif": True,
    "moving.webp": True,
    "moving.png": True,
    "pages.tif": True,
    "still.gif": False,
    "still.tif": False,
    "still.png": False,
    "phone.mpo": False,  # a preview is no other picture
}


def write_frames(path: Path) -> Path:
    frames = [Image.new("L", (4, 6), grey) for grey in (0, 128, 255)]
    more = {"save_all": True, "append_images": frames[1:]} if "still" not in path.name else {}
    frames[0].save(path, **more)
    return path


@pytest.mark.parametrize("name", SEVERAL)
def test_files_of_several_pictures_are_known(tmp_path: Path, name: str) -> None:
    path = write_frames(tmp_path / name)
    read = read_image(path, image_shape=SHAPE)
    assert read.several == SEVERAL[name]
    assert read.pixels.max() < 0.05  # the first one


def test_files_of_several_pictures_are_said(tmp_path: Path) -> None:
    paths = [write_frames(tmp_path / name) for name in SEVERAL]
    heard, decoding = Listener(), Listener()
    read_images(paths, image_shape=SHAPE, progress=heard)
    decode_files(paths, Recipe(channels=1, size=SHAPE[1:]), decoding)
    (line,), (other,) = heard.lines, decoding.lines
    assert "4 files hold several pictures (frames or pages), such as" in line
    assert "3 files hold several pictures" in other  # of a whole folder no PNG is opened twice


def test_only_bad_files_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"x\.png does not exist.*1 other failed too"):
        read_images([tmp_path / "x.png", tmp_path / "y.png"], image_shape=SHAPE)


@pytest.mark.parametrize("channels", [1, 3])
def test_writes_what_it_was_given(tmp_path: Path, channels: int) -> None:
    pixels = torch.randint(0, 256, (channels, 6, 4), dtype=torch.uint8)
    path = tmp_path / "new" / "out.png"
    for values in (pixels, pixels.float() / 255):
        write_image(path, values)
        with Image.open(path) as image:
            assert image.format == "PNG"
            values = np.array(image).reshape(6, 4, channels)
        np.testing.assert_array_equal(values, pixels.permute(1, 2, 0).numpy())
    assert [entry.name for entry in path.parent.iterdir()] == ["out.png"]


def test_clips_floats_and_refuses_nan(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    write_image(path, torch.tensor([[[-1.0, 2.0]]]))
    with Image.open(path) as image:
        assert list(image.tobytes()) == [0, 255]
    with pytest.raises(ImageError, match="NaN"):
        write_image(path, torch.tensor([[[float("nan")]]]))


def test_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match="cannot write"):
        write_image(tmp_path / "file" / "out.png", torch.zeros(1, 2, 2))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM"])
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6))
def test_a_damaged_image_is_read_or_refused_in_one_line(
    tmp_path: Path, form: str, changes: list[tuple[float, int]]
) -> None:
    path = tmp_path / "image"
    Image.effect_noise((9, 7), 40).save(path, form)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[int(place * (len(content) - 1))] = value
    path.write_bytes(content)
    message, pixels = "", torch.zeros(SHAPE)
    try:
        pixels = read_image(path, image_shape=SHAPE).pixels
    except ImageError as error:
        message = str(error)
    assert "\n" not in message
    assert pixels.shape == SHAPE
    assert 0 <= pixels.min() <= pixels.max() <= 1
