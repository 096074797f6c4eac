"""Opens image files; whatever is wrong with one comes out as one line. Decodes no pixels."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import IO, Literal, Protocol

from PIL import Image, ImageMode, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from paecli.system.errors import ImageError, PaeError

MAX_PIXELS = 128_000_000  # what is decoded at most; about 400 MB of RGB
ORIENTATION = 0x0112  # EXIF tag
TURNED = range(5, 9)  # EXIF orientations that swap width and height
TIFF_WIDTH, TIFF_HEIGHT = 256, 257  # tags
PHOTOMETRIC, BITS, PLANAR, SAMPLE_FORMAT = 262, 258, 284, 339  # TIFF tags
WHITE_IS_ZERO, SEPARATE_PLANES, SIGNED = 0, 2, 2
# photographs with a preview or depth map, and the whole of an image before its layers
ONE_PICTURE = ("MPO", "PSD")
LAYOUT = "layout in the file"  # key in Pillow's notes of an image


class ImageSource(Protocol):
    """What an image is read from: a `Path`, or bytes in memory. As text it is its name."""

    def exists(self) -> bool:
        """Tells whether there is anything."""

    def is_file(self) -> bool:
        """Tells whether it is bytes to read, and no folder or device."""

    def open(self, mode: Literal["rb"], /) -> IO[bytes]:
        """Opens it for reading, from its beginning each time."""


class MemoryFile:
    """A file that lies in memory, and never on a disk."""

    def __init__(self, name: str, content: bytes) -> None:
        """Takes the name by which messages call it, and its bytes."""
        self._name, self._content = name, content

    def __str__(self) -> str:
        return self._name

    def exists(self) -> bool:
        """Tells that it is there."""
        return True

    def is_file(self) -> bool:
        """Tells that it is no folder."""
        return True

    def open(self, mode: Literal["rb"], /) -> IO[bytes]:
        """Opens it for reading."""
        del mode
        return BytesIO(self._content)


@contextmanager
def open_image(path: ImageSource, *, most_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Opens an image file; whatever is wrong with it comes out as one line.

    Args:
        path: the file.
        most_pixels: larger images are refused.

    Yields:
        The image, not decoded yet.

    Raises:
        ImageError: missing, empty, not an image, damaged or too large.
    """
    _check_file(path)
    try:
        # Pillow warns of large and odd files; we have a limit of our own
        # by its handle: from a name Pillow maps turned TIFFs into memory, with wrong rows
        with (
            warnings.catch_warnings(action="ignore"),
            path.open("rb") as file,
            Image.open(file) as image,
        ):
            if image.width * image.height > most_pixels:
                raise Image.DecompressionBombError
            refuse_misread(image, str(path))
            note_layout(image)
            yield image
    except PaeError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{path} has more than {most_pixels // 10**6} million pixels; make it smaller first"
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{path} is not an image that can be read; convert it to PNG first"
        ) from error
    except Exception as error:  # Pillow's decoders fail in many ways on hostile files
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ImageError(
            f"{path} cannot be decoded ({reason}); it may be damaged, save it again"
        ) from error


def oriented_size(image: Image.Image) -> tuple[int, int]:
    """Returns `(height, width)` as seen by people, after the EXIF orientation."""
    tags = getattr(image, "tag_v2", {})  # of a TIFF, whose `size` may be turned already
    width = int(tags.get(TIFF_WIDTH, image.width))
    height = int(tags.get(TIFF_HEIGHT, image.height))
    turned = image.getexif().get(ORIENTATION) in TURNED
    return (width, height) if turned else (height, width)


def has_colour(image: Image.Image) -> bool:
    """Tells whether an image has colours, by its format and not its pixels."""
    return ImageMode.getmode(image.mode).basemode != "L"


def holds_several(image: Image.Image) -> bool:
    """Tells whether a file, just opened, holds frames or pages beside the one that is read."""
    if image.format in ONE_PICTURE:
        return False
    with suppress(Exception):  # the rest of the file may be damaged
        return bool(getattr(image, "is_animated", False))
    return False


def several_note(paths: Sequence[ImageSource]) -> str:
    """Says which files hold several pictures; empty if none does."""
    if not paths:
        return ""
    if len(paths) == 1:
        return f"{paths[0]} holds several pictures (frames or pages): the first one counts"
    return (
        f"{len(paths):,} files hold several pictures (frames or pages), such as {paths[0]}: the "
        "first of each counts"
    )


def layout_of(image: Image.Image) -> str:
    """Returns Pillow's name of the layout in the file (`RGB;16B`), empty where it has none."""
    return str(image.info.get(LAYOUT, ""))


def note_layout(image: Image.Image) -> None:
    """Remembers how an image just opened lies in its file, which Pillow forgets on decoding."""
    arguments = image.tile[0].args if isinstance(image, ImageFile) and image.tile else None
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    image.info[LAYOUT] = first if isinstance(first, str) else ""


def refuse_misread(image: Image.Image, name: str) -> None:
    """Refuses kinds of TIFF that Pillow reads wrongly without a word.

    Args:
        image: just opened.
        name: its file, for the message.

    Raises:
        ImageError: signed integers, 16-bit colours in separate planes, compressed floats of the
            other byte order, or Lab colours, whose white point is a matter of the program.
    """
    if image.mode == "LAB":
        raise ImageError(f"{name} has Lab colours, which programs read differently; save it as RGB")
    if image.mode == "F" and _is_swapped_twice(image):
        raise ImageError(
            f"{name} has compressed float pixels, most significant byte first; save it uncompressed"
        )
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    if SIGNED in tag_numbers(tags.get(SAMPLE_FORMAT)) or (image.mode == "I" and tags):
        raise ImageError(
            f"{name} has signed or 32-bit integers of no known range; save it with 8 or 16 bits"
        )
    wide = max(tag_numbers(tags.get(BITS)), default=8) > 8
    if wide and tags.get(PLANAR) == SEPARATE_PLANES and len(image.getbands()) > 1:
        raise ImageError(f"{name} has 16-bit colours in separate planes; save them interleaved")


def _is_swapped_twice(image: Image.Image) -> bool:
    """Tells whether libtiff gives the machine's order of bytes, and Pillow turns it round again."""
    tile = image.tile[0] if isinstance(image, ImageFile) and image.tile else None
    return tile is not None and tile.codec_name == "libtiff" and "BF" in str(tile.args)


def _check_file(path: ImageSource) -> None:
    try:
        if not path.is_file():
            state = "is not a regular file" if path.exists() else "does not exist"
            raise ImageError(f"{path} {state}; give an image file such as a PNG")
        with path.open("rb") as file:
            if not file.read(1):
                raise ImageError(f"{path} is empty; save or download the image again")
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}") from error


def tag_numbers(value: object) -> tuple[int, ...]:
    """Returns the numbers of a TIFF tag: one, several or none."""
    return value if isinstance(value, tuple) else (value,) if isinstance(value, int) else ()
