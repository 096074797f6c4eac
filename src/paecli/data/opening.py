"""Opens image files; whatever is wrong with one comes out as one line. Decodes no pixels."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageMode, UnidentifiedImageError

from paecli.system.errors import ImageError, PaeError

MAX_PIXELS = 128_000_000  # what is decoded at most; about 400 MB of RGB
ORIENTATION = 0x0112  # EXIF tag
TURNED = range(5, 9)  # EXIF orientations that swap width and height


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Opens an image file; whatever is wrong with it comes out as one line.

    Yields:
        The image, not decoded yet.

    Raises:
        ImageError: missing, empty, not an image, damaged or too large.
    """
    _check_file(path)
    try:
        # Pillow warns of large and odd files; we have a limit of our own
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except PaeError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{path} has more than {MAX_PIXELS // 10**6} million pixels; make it smaller first"
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
    width, height = image.size
    turned = image.getexif().get(ORIENTATION) in TURNED
    return (width, height) if turned else (height, width)


def has_colour(image: Image.Image) -> bool:
    """Tells whether an image has colours, by its format and not its pixels."""
    return ImageMode.getmode(image.mode).basemode != "L"


def _check_file(path: Path) -> None:
    try:
        if not path.is_file():
            state = "is not a regular file" if path.exists() else "does not exist"
            raise ImageError(f"{path} {state}; give an image file such as a PNG")
        with path.open("rb") as file:
            if not file.read(1):
                raise ImageError(f"{path} is empty; save or download the image again")
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}") from error
