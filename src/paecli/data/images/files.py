"""Single image files: read as the model wants them, and written."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from paecli.data.images.opening import (
    ImageSource,
    holds_several,
    open_image,
    oriented_size,
    several_note,
)
from paecli.data.images.pixels import decode, to_bytes
from paecli.system.errors import ImageError
from paecli.system.files import write_atomically
from paecli.system.names import counted
from paecli.system.outputs import own_mark
from paecli.system.progress import NullProgress, Progress


@dataclass(frozen=True, eq=False)
class ImageFile:
    """An image as the model wants it.

    Attributes:
        path: where it came from; of bytes in memory only their name.
        pixels: `(c, h, w)` float32 in [0, 1], of the model's shape.
        original_size: `(height, width)` of the file, after its EXIF orientation.
        resized: whether that differs from the model's size.
        several: whether the file holds more pictures, of which this is the first.
    """

    path: Path
    pixels: Tensor
    original_size: tuple[int, int]
    resized: bool
    several: bool = False


def read_image(path: ImageSource, *, image_shape: tuple[int, int, int]) -> ImageFile:
    """Reads an image file as the model wants it; see `paecli.data.images.pixels` for the rules.

    Args:
        path: PNG, JPEG, TIFF, WebP, BMP or whatever else Pillow reads.
        image_shape: `(channels, height, width)` of the model; channels 1 or 3.

    Raises:
        ImageError: missing, unreadable, damaged, too large, or values out of range.
    """
    channels, *size = image_shape
    wanted = (size[0], size[1])
    with open_image(path) as image:
        original_size, several = oriented_size(image), holds_several(image)
        pixels = decode(image, path, channels=channels, size=wanted)
    resized = original_size != wanted
    return ImageFile(Path(str(path)), pixels.contiguous(), original_size, resized, several)


def read_images(
    paths: Sequence[Path],
    *,
    image_shape: tuple[int, int, int],
    progress: Progress = NullProgress(),
) -> tuple[list[ImageFile], list[tuple[Path, str]]]:
    """Reads many image files; a bad one does not stop the others.

    Args:
        paths: image files, as from `find_images`.
        image_shape: `(channels, height, width)` of the model.
        progress: told after each file.

    Returns:
        The images that could be read, and for each other file its path and what is wrong.

    Raises:
        ImageError: not a single one could be read.
    """
    images: list[ImageFile] = []
    failures: list[tuple[Path, str]] = []
    with progress.task("reading images", len(paths)) as task:
        for path in paths:
            try:
                images.append(read_image(path, image_shape=image_shape))
            except ImageError as error:
                failures.append((path, str(error)))
            task.advance()
    if note := several_note([image.path for image in images if image.several]):
        progress.say(note)
    if failures and not images:
        raise none_readable(failures)
    return images, failures


def none_readable(failures: Sequence[tuple[Path, str]]) -> ImageError:
    """Returns what to raise where of some files, at least one, none can be read.

    Args:
        failures: each file with the reason.
    """
    first, others = failures[0][1], len(failures) - 1
    return ImageError(f"{first} ({counted(others, 'other')} failed too)" if others else first)


def write_image(path: Path, pixels: Tensor, *, own: bool = False) -> None:
    """Writes an image as PNG, atomically.

    Args:
        path: the file, whatever its suffix.
        pixels: `(c, h, w)`, 1 or 3 channels; uint8, or float, clipped to [0, 1].
        own: marks it as an output, which commands do not take for an input they find in a folder.

    Raises:
        ImageError: NaN pixels.
        DataError: the file cannot be written.
    """
    if pixels.isnan().any():
        raise ImageError(f"{path} would have NaN pixels; nothing is written")
    write_atomically(path, png_of(pixels, own=own))


def png_of(pixels: Tensor, *, own: bool = False) -> bytes:
    """Returns the PNG file of an image without NaN; see `write_image`."""
    pixels = pixels.detach().cpu()
    if pixels.dtype != torch.uint8:
        pixels = to_bytes(pixels.clamp(0, 1))
    array = pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)
    buffer = BytesIO()
    Image.fromarray(array.contiguous().numpy()).save(
        buffer, format="PNG", pnginfo=own_mark() if own else None
    )
    return buffer.getvalue()
