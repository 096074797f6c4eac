"""Every kind of pixels against other libraries: equal within one grey level, or refused by name.

PNG, JPEG, WebP, BMP and the like are compared with OpenCV, TIFF with tifffile; both give the
values in the file, from which the expected picture follows by the formula of its kind.
"""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from paecli.data.images.files import read_image
from paecli.system.errors import ImageError

from .odd_files import CHANNELS, GREY, PALETTE, RGB, write_png, write_twelve_bit_tiff

Array = NDArray[np.float64]
H, W = 12, 10
ONE_LEVEL = 1.01 / 255
RNG = np.random.default_rng(0)
BEGINNING = RNG.bit_generator.state
TURNS: dict[int, Callable[[Array], Array]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.fixture(autouse=True)
def same_values_in_any_order() -> None:
    RNG.bit_generator.state = BEGINNING


def on_white(colours: Array, opacity: Array | float = 1.0) -> Array:
    """Composites colours `(h, w, 1 or 3)`, opacity `(h, w, 1)`; returns `(h, w, 3)`."""
    return np.broadcast_to(colours, (*colours.shape[:2], 3)) * opacity + 1 - opacity


def check(path: Path, wanted: Array, *, within: float = ONE_LEVEL) -> None:
    read = read_image(path, image_shape=(3, *wanted.shape[:2]))
    assert not read.resized
    assert np.abs(read.pixels.permute(1, 2, 0).numpy() - wanted).max() <= within
    grey = read_image(path, image_shape=(1, *wanted.shape[:2])).pixels[0].numpy()
    assert np.abs(grey - wanted @ (0.299, 0.587, 0.114)).max() <= within


def seen_by_opencv(path: Path) -> Array:
    """Returns `(h, w, c)` in [0, 1] in the order red, green, blue, alpha."""
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    values = values.reshape(*values.shape[:2], -1)
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[values.shape[2]]
    return values[:, :, order] / np.iinfo(values.dtype).max


def composited_by_opencv(path: Path) -> Array:
    values = seen_by_opencv(path)
    return on_white(values[..., :3], values[..., 3:]) if values.shape[2] == 4 else on_white(values)


PNG_KINDS = [(colour, depth) for colour in (GREY, PALETTE) for depth in (1, 2, 4, 8)]
PNG_KINDS += [(GREY, 16)] + [(colour, depth) for colour in (RGB, 4, 6) for depth in (8, 16)]


@pytest.mark.parametrize(("colour", "depth"), PNG_KINDS)
def test_png(tmp_path: Path, colour: int, depth: int) -> None:
    top = 2**depth - 1
    samples = RNG.integers(0, top + 1, (H, W, CHANNELS[colour]))
    colours = RNG.integers(0, 256, (top + 1, 3)) if colour == PALETTE else None
    palette = None if colours is None else colours.astype(np.uint8).tobytes()
    write_png(tmp_path / "a.png", samples, depth=depth, colour=colour, palette=palette)
    if colour == 4 and depth == 16:  # OpenCV drops this alpha
        wanted = on_white(samples[..., :1] / top, samples[..., 1:] / top)
    else:
        wanted = composited_by_opencv(tmp_path / "a.png")
    check(tmp_path / "a.png", wanted)


@pytest.mark.parametrize(("colour", "depth"), [kind for kind in PNG_KINDS if kind[0] in (0, 2, 3)])
def test_png_with_transparent_values(tmp_path: Path, colour: int, depth: int) -> None:
    top = 2**depth - 1
    samples = RNG.integers(0, top + 1, (H, W, CHANNELS[colour]))
    path = tmp_path / "a.png"
    if colour == PALETTE:
        colours, opacity = RNG.integers(0, 256, (top + 1, 3)), RNG.integers(0, 256, top + 1)
        palette, hidden = (part.astype(np.uint8).tobytes() for part in (colours, opacity))
        index = samples[..., 0]
        wanted = on_white(colours[index] / 255, opacity[index][..., None] / 255)
    else:
        key = samples[2, 3]
        palette, hidden = None, key.astype(">u2").tobytes()
        wanted = on_white(samples / top, (samples != key).any(-1, keepdims=True) * 1.0)
    write_png(path, samples, depth=depth, colour=colour, palette=palette, transparency=hidden)
    check(path, wanted)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tif", ".jp2", ".ppm"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_that_opencv_writes(tmp_path: Path, suffix: str, dtype: type) -> None:
    if dtype is np.uint16 and suffix in (".webp", ".bmp"):
        pytest.skip("the format has 8 bits")
    values = RNG.integers(0, np.iinfo(dtype).max + 1, (H, W, 3)).astype(dtype)
    if suffix == ".jp2":  # OpenCV writes no small ones
        values = values.repeat(8, 0).repeat(8, 1)
    path = tmp_path / f"a{suffix}"
    options = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000] if suffix == ".jp2" else []
    options = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else options
    assert cv2.imwrite(str(path), values, options)
    # Pillow does not tell the depth of JPEG 2000, and rounds its colours to 8 bits
    rounded = suffix == ".jp2" and dtype is np.uint16
    check(path, on_white(seen_by_opencv(path)), within=1.5 / 255 if rounded else ONE_LEVEL)


def test_animations_give_their_first_picture(tmp_path: Path) -> None:
    pages = [Image.fromarray(RNG.integers(0, 256, (H, W)).astype(np.uint8)) for _ in range(3)]
    wanted = on_white(np.array(pages[0])[..., None] / 255)
    for suffix in (".tif", ".gif", ".png", ".webp"):
        options = {"lossless": True} if suffix == ".webp" else {}
        pages[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=pages[1:], **options)
        check(tmp_path / f"a{suffix}", wanted)


def test_cmyk_jpeg_is_not_a_negative(tmp_path: Path) -> None:
    image = Image.new("CMYK", (W, H), (0, 128, 255, 26))
    image.save(tmp_path / "a.jpg", quality=100)
    bgr = cv2.imread(str(tmp_path / "a.jpg"), cv2.IMREAD_COLOR)
    check(tmp_path / "a.jpg", bgr[..., ::-1] / 255, within=3 / 255)


def write_tiff(path: Path, values: NDArray[np.generic], **options: object) -> Array:
    """Writes a TIFF and returns the values as tifffile reads them, `(h, w, c)` in [0, 1]."""
    with warnings.catch_warnings(action="ignore"):
        tifffile.imwrite(path, values, **options)
    read = tifffile.imread(path)
    if options.get("planarconfig") == "separate":
        read = np.moveaxis(read, 0, -1)
    read = read.reshape(*read.shape[:2], -1)
    top = 1 if read.dtype.kind == "f" else np.iinfo(read.dtype).max
    return np.asarray(read / top, dtype=np.float64)


def random_values(dtype: str, *shape: int) -> NDArray[np.generic]:
    top = 1 if dtype.startswith("f") else np.iinfo(dtype).max
    return (RNG.random(shape) * top).astype(dtype)


def check_or_refuse(path: Path, wanted: Array, *, refused: bool) -> None:
    """A cell of the matrix; what is refused must be so in every case, in one line, by name."""
    if not refused:
        check(path, wanted)
        return
    with pytest.raises(ImageError, match=re.escape(str(path))) as caught:
        read_image(path, image_shape=(3, H, W))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"])
def test_grey_tiff(tmp_path: Path, dtype: str, kind: str, order: str) -> None:
    path = tmp_path / "a.tif"
    data = random_values(dtype, H, W)
    values = write_tiff(path, data, photometric=kind, byteorder=order)
    wanted = on_white(1 - values if kind == "miniswhite" else values)
    refused = dtype not in ("u1", "u2", "f4") or (dtype, kind, order) == ("u2", "miniswhite", ">")
    check_or_refuse(path, wanted, refused=refused)


@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("bands", [1, 3])
def test_compressed_tiff(
    tmp_path: Path, bands: int, dtype: str, order: str, tile: tuple[int, int] | None
) -> None:
    path, top = tmp_path / "a.tif", 1 if dtype == "f4" else np.iinfo(dtype).max
    # few values, of which the wrong order of bytes makes other ones that are possible
    data = (RNG.choice([0, 0.5, 1], (H, W, bands)) * top).astype(dtype)
    stored = data if bands == 3 else data[..., 0]
    kind = "rgb" if bands == 3 else "minisblack"
    options = {"compression": "adobe_deflate", "tile": tile, "byteorder": order}
    values = write_tiff(path, stored, photometric=kind, **options)
    check_or_refuse(path, on_white(values), refused=dtype == "f4" and (bands == 3 or order == ">"))


def test_lab_tiff_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_tiff(path, random_values("u1", H, W, 3), photometric="cielab")
    check_or_refuse(path, np.zeros(0), refused=True)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("alpha", [None, "unspecified", "assocalpha", "unassalpha"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_colour_tiff(
    tmp_path: Path, dtype: str, alpha: str | None, planes: str, order: str
) -> None:
    path, data = tmp_path / "a.tif", random_values(dtype, H, W, 4 if alpha else 3)
    top = 1 if dtype == "f4" else np.iinfo(dtype).max
    if alpha == "assocalpha":  # premultiplied
        data[..., :3] = (data[..., :3] * (data[..., 3:] / top)).astype(dtype)
    options = {"extrasamples": [alpha]} if alpha else {}
    stored = np.moveaxis(data, -1, 0) if planes == "separate" else data
    values = write_tiff(
        path, stored, photometric="rgb", planarconfig=planes, byteorder=order, **options
    )
    colours, opacity = values[..., :3], values[..., 3:]
    wanted = {
        "assocalpha": lambda: colours + 1 - opacity,
        "unassalpha": lambda: on_white(colours, opacity),
    }.get(alpha or "", lambda: on_white(colours))()
    separate = planes == "separate" and (dtype == "u2" or alpha in ("unspecified", "assocalpha"))
    check_or_refuse(path, wanted, refused=dtype == "f4" or separate)


@pytest.mark.parametrize("alpha", ["assocalpha", "unassalpha"])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_grey_tiff_with_alpha(tmp_path: Path, dtype: str, alpha: str) -> None:
    path, data = tmp_path / "a.tif", random_values(dtype, H, W, 2)
    if alpha == "assocalpha":
        data[..., :1] = (data[..., :1] * (data[..., 1:] / np.iinfo(dtype).max)).astype(dtype)
    options = {"planarconfig": "contig", "extrasamples": [alpha]}
    values = write_tiff(path, data, photometric="minisblack", **options)
    grey, opacity = values[..., :1], values[..., 1:]
    grey = np.broadcast_to(grey, (H, W, 3))
    wanted = grey + 1 - opacity if alpha == "assocalpha" else on_white(grey, opacity)
    check_or_refuse(path, wanted, refused=dtype == "u2")


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_cmyk_tiff(tmp_path: Path, dtype: str) -> None:
    values = write_tiff(tmp_path / "a.tif", random_values(dtype, H, W, 4), photometric="separated")
    check(tmp_path / "a.tif", (1 - values[..., :3]) * (1 - values[..., 3:]))


def test_palette_tiff(tmp_path: Path) -> None:
    colours = (257 * RNG.integers(0, 256, (3, 256))).astype("u2")  # as 8-bit tables are stored
    index = random_values("u1", H, W)
    write_tiff(tmp_path / "a.tif", index, photometric="palette", colormap=colours)
    check(tmp_path / "a.tif", np.moveaxis(colours[:, index], 0, -1) / 65535)


def test_twelve_bits_are_a_scale_of_their_own(tmp_path: Path) -> None:
    values = RNG.integers(0, 4096, (H, W))
    write_twelve_bit_tiff(tmp_path / "a.tif", values)
    check(tmp_path / "a.tif", on_white(values[..., None] / 4095))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(("dtype", "bands"), [("u1", 1), ("u2", 1), ("u1", 3), ("u2", 3)])
def test_turned_tiff(tmp_path: Path, dtype: str, bands: int, turn: int) -> None:
    data = random_values(dtype, H, W, bands) if bands > 1 else random_values(dtype, H, W)
    kind = "rgb" if bands > 1 else "minisblack"
    tag = (274, 3, 1, turn, True)
    values = write_tiff(tmp_path / "a.tif", data, photometric=kind, extratags=[tag])
    check(tmp_path / "a.tif", on_white(TURNS[turn](values)))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_turned_by_exif(tmp_path: Path, mode: str, suffix: str, turn: int) -> None:
    if mode == "RGBA" and suffix == ".jpg":
        pytest.skip("JPEG has no alpha")
    exif = Image.Exif()
    exif[0x0112] = turn
    image = Image.fromarray(RNG.integers(0, 256, (H, W, 4)).astype(np.uint8)).convert(mode)
    options = {".webp": {"lossless": True, "exact": True}, ".jpg": {"quality": 100}}
    image.save(tmp_path / f"a{suffix}", exif=exif.tobytes(), **options.get(suffix, {}))
    values = np.array(image).reshape(H, W, -1) / 255
    wanted = on_white(values[..., :3], values[..., 3:] if mode == "RGBA" else 1.0)
    check(tmp_path / f"a{suffix}", TURNS[turn](wanted), within=2 / 255)


def test_sixteen_bit_colours_turned_by_exif(tmp_path: Path) -> None:
    samples = RNG.integers(0, 65536, (H, W, 4))
    write_png(tmp_path / "a.png", samples, depth=16, colour=6)
    plain = (tmp_path / "a.png").read_bytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (1, 1)).save(tmp_path / "b.png", exif=exif)
    chunk = re.search(rb"....eXIf.*?(?=....IDAT)", (tmp_path / "b.png").read_bytes(), re.DOTALL)
    assert chunk is not None
    place = plain.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(plain[:place] + chunk[0] + plain[place:])
    values = samples / 65535
    check(tmp_path / "a.png", TURNS[6](on_white(values[..., :3], values[..., 3:])))
