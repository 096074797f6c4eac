import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from paecli.data.images.files import read_image
from paecli.data.images.pixels import centre_crop, resize, set_channels, to_bytes
from paecli.system.errors import ImageError

RAMP = np.arange(12 * 10, dtype=np.uint8).reshape(12, 10) * 2
GREY = (1, 12, 10)
RGB = (3, 12, 10)


def saved(tmp_path: Path, image: Image.Image, suffix: str = ".png", **options: object) -> Path:
    path = tmp_path / f"image{suffix}"
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_exact_formats_give_the_exact_values(tmp_path: Path, suffix: str) -> None:
    pixels = read_image(saved(tmp_path, Image.fromarray(RAMP), suffix), image_shape=GREY).pixels
    np.testing.assert_array_equal(to_bytes(pixels)[0].numpy(), RAMP)
    assert pixels.dtype == torch.float32


@pytest.mark.parametrize(("suffix", "options"), [(".jpg", {"quality": 95}), (".webp", {})])
def test_lossy_formats_give_nearly_the_values(
    tmp_path: Path, suffix: str, options: dict[str, object]
) -> None:
    path = saved(tmp_path, Image.fromarray(RAMP).convert("RGB"), suffix, **options)
    error = read_image(path, image_shape=GREY).pixels[0] - torch.from_numpy(RAMP) / 255
    assert error.abs().max() < 0.06


def test_colours_keep_their_channels_and_their_places(tmp_path: Path) -> None:
    image = Image.new("RGB", (10, 12), (255, 0, 51))
    image.putpixel((3, 1), (0, 255, 0))
    pixels = read_image(saved(tmp_path, image), image_shape=RGB).pixels
    torch.testing.assert_close(pixels[:, 0, 0], torch.tensor([1.0, 0.0, 0.2]))
    torch.testing.assert_close(pixels[:, 1, 3], torch.tensor([0.0, 1.0, 0.0]))


def test_colour_to_grey_by_luma_and_grey_to_colour_by_repeating(tmp_path: Path) -> None:
    green = read_image(saved(tmp_path, Image.new("RGB", (10, 12), "lime")), image_shape=GREY)
    torch.testing.assert_close(green.pixels, torch.full(GREY, 0.587), atol=2e-3, rtol=0)
    grey = read_image(saved(tmp_path, Image.fromarray(RAMP)), image_shape=RGB).pixels
    assert torch.equal(grey[0], grey[2])


def test_palette(tmp_path: Path) -> None:
    image = Image.new("P", (10, 12))
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((2, 0), 1)
    pixels = read_image(saved(tmp_path, image), image_shape=RGB).pixels
    assert pixels[:, 0, 2].tolist() == [1, 0, 0]
    assert pixels[:, 0, 3].tolist() == [0, 0, 0]


def test_one_bit(tmp_path: Path) -> None:
    image = Image.fromarray(RAMP > 100)
    pixels = read_image(saved(tmp_path, image), image_shape=GREY).pixels
    np.testing.assert_array_equal(pixels[0].numpy(), RAMP > 100)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_keep_their_depth(tmp_path: Path, suffix: str) -> None:
    values = np.linspace(0, 65535, 120).astype(np.uint16).reshape(12, 10)
    pixels = read_image(saved(tmp_path, Image.fromarray(values), suffix), image_shape=GREY).pixels
    np.testing.assert_allclose(pixels[0].numpy(), values / 65535, atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "colour", "value"),
    [("RGBA", (0, 0, 0, 0), 1.0), ("RGBA", (0, 0, 0, 255), 0.0), ("LA", (0, 51), 0.8)],
)
def test_transparency_shows_white(
    tmp_path: Path, mode: str, colour: tuple[int, ...], value: float
) -> None:
    path = saved(tmp_path, Image.new(mode, (10, 12), colour))
    pixels = read_image(path, image_shape=GREY).pixels
    torch.testing.assert_close(pixels, torch.full(GREY, value), atol=2e-3, rtol=0)


def test_float_tiff_is_taken_as_it_is(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((12, 10), dtype=np.float32)
    pixels = read_image(saved(tmp_path, Image.fromarray(values), ".tif"), image_shape=GREY).pixels
    np.testing.assert_array_equal(pixels[0].numpy(), values)


@pytest.mark.parametrize(
    ("value", "says"), [(np.nan, "NaN"), (np.inf, "infinite"), (-0.5, "-0.5"), (200.0, "to 200")]
)
def test_float_tiff_out_of_range_is_refused(tmp_path: Path, value: float, says: str) -> None:
    values = np.zeros((12, 10), dtype=np.float32)
    values[2, 3] = value
    path = saved(tmp_path, Image.fromarray(values), ".tif")
    with pytest.raises(ImageError, match=says):
        read_image(path, image_shape=GREY)


def test_integers_of_unknown_range_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(RAMP.astype(np.int32)), ".tif")
    with pytest.raises(ImageError, match="32-bit"):
        read_image(path, image_shape=GREY)


@pytest.mark.parametrize(
    ("orientation", "corner"), [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))]
)
def test_exif_orientation(tmp_path: Path, orientation: int, corner: tuple[int, int]) -> None:
    image = Image.new("L", (10, 12))
    image.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = orientation
    shape = (1, 10, 12) if orientation in (6, 8) else GREY
    read = read_image(saved(tmp_path, image, exif=exif), image_shape=shape)
    assert read.pixels[0][corner] == 1
    assert read.original_size == shape[1:]
    assert not read.resized


def test_other_sizes_are_cropped_to_the_aspect_then_resized(tmp_path: Path) -> None:
    image = Image.new("L", (300, 100))  # a white square between black sides
    image.paste(255, (100, 0, 200, 100))
    read = read_image(saved(tmp_path, image), image_shape=(1, 28, 28))
    assert read.resized
    assert read.original_size == (100, 300)
    assert read.pixels.min() > 0.9


def test_shrinking_averages_instead_of_skipping(tmp_path: Path) -> None:
    stripes = np.zeros((256, 256), dtype=np.uint8)
    stripes[:, ::2] = 255
    read = read_image(saved(tmp_path, Image.fromarray(stripes)), image_shape=(1, 16, 16))
    torch.testing.assert_close(read.pixels, torch.full((1, 16, 16), 0.5), atol=0.01, rtol=0)


def test_a_single_pixel_becomes_a_plain_image(tmp_path: Path) -> None:
    read = read_image(saved(tmp_path, Image.new("L", (1, 1), 51)), image_shape=(1, 28, 28))
    torch.testing.assert_close(read.pixels, torch.full((1, 28, 28), 0.2))


def png_header_of(width: int, height: int) -> bytes:
    """A PNG that announces a size and has next to no data."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(100))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [12_000, 60_000])
def test_huge_images_are_refused_before_decoding(tmp_path: Path, side: int) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png_header_of(side, side))
    with pytest.raises(ImageError, match="more than 128 million pixels"):
        read_image(path, image_shape=GREY)


def test_a_hundred_megapixel_jpeg_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("L", (10_000, 10_000), 102), ".jpg")
    read = read_image(path, image_shape=GREY)
    torch.testing.assert_close(read.pixels, torch.full(GREY, 0.4))
    assert read.original_size == (10_000, 10_000)


def damaged(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 256, (50, 50), dtype=np.uint8)
    whole = saved(tmp_path, Image.fromarray(noise)).read_bytes()
    content = {"truncated.png": whole[: len(whole) // 2], "text.png": b"hello", "empty.png": b""}
    path.write_bytes(content[name])
    return path


@pytest.mark.parametrize(
    ("name", "says"),
    [("truncated.png", "decoded"), ("text.png", "not an image"), ("empty.png", "is empty")],
)
def test_damaged_files_give_one_line(tmp_path: Path, name: str, says: str) -> None:
    path = damaged(tmp_path, name)
    with pytest.raises(ImageError, match=says) as caught:
        read_image(path, image_shape=GREY)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_file_gives_one_line(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="does not exist"):
        read_image(tmp_path / "nothing.png", image_shape=GREY)
    with pytest.raises(ImageError, match="not a regular file"):
        read_image(tmp_path, image_shape=GREY)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp", ".gif"])
def test_hostile_bytes_never_escape_as_another_error(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path, Image.fromarray(RAMP), suffix)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for place in rng.integers(0, len(content), 5):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        message = ""
        try:
            read_image(path, image_shape=GREY)
        except ImageError as error:
            message = str(error)
        assert "\n" not in message


sides = st.integers(1, 40)


@given(height=sides, width=sides, new_height=sides, new_width=sides)
def test_resize_gives_the_size_and_stays_within_the_values(
    height: int, width: int, new_height: int, new_width: int
) -> None:
    pixels = torch.rand(3, height, width)
    resized = resize(pixels, (new_height, new_width))
    assert resized.shape == (3, new_height, new_width)
    assert resized.min() >= pixels.min() - 1e-6
    assert resized.max() <= pixels.max() + 1e-6


def test_resize_leaves_the_right_size_alone() -> None:
    pixels = torch.rand(2, 1, 7, 5)
    assert resize(pixels, (7, 5)) is pixels


def test_centre_crop_takes_the_middle() -> None:
    pixels = torch.zeros(1, 8, 6)
    pixels[:, 3:5, 2:4] = 1
    assert centre_crop(pixels, 2, (4, 4)).min() == 1


def test_set_channels_both_ways() -> None:
    colour = torch.rand(4, 3, 5, 6)
    grey = set_channels(colour, 1)
    assert grey.shape == (4, 1, 5, 6)
    assert torch.equal(set_channels(grey, 3)[:, 2:], grey)
    assert set_channels(colour, 3) is colour
