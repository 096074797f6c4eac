"""Single image files: found, read as the model wants them, and written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from paecli.data.images.listing import list_images, summary_of
from paecli.data.images.pixels import decode, open_image, oriented_size, to_bytes
from paecli.system.errors import DataError, ImageError
from paecli.system.files import replacing
from paecli.system.outputs import SOFTWARE
from paecli.system.progress import NullProgress, Progress


@dataclass(frozen=True, eq=False)
class ImageFile:
    """An image as the model wants it.

    Attributes:
        path: where it came from.
        pixels: `(c, h, w)` float32 in [0, 1], of the model's shape.
        original_size: `(height, width)` of the file, after its EXIF orientation.
        resized: whether that differs from the model's size.
    """

    path: Path
    pixels: Tensor
    original_size: tuple[int, int]
    resized: bool


def find_images(
    paths: Sequence[Path],
    *,
    leave_out: Path | None = None,
    progress: Progress = NullProgress(),
) -> list[Path]:
    """Lists the images that files and folders (searched to any depth) stand for.

    Args:
        paths: files are taken whatever they are called, folders give what `list_images` finds.
        leave_out: a folder that is about to be written to.
        progress: told what in folders was passed over and why, and what cannot be looked at.

    Returns:
        Sorted paths, each once.

    Raises:
        DataError: a path does not exist, or there is no image at all.
    """
    images, unreadable = find_all(paths, leave_out=leave_out, progress=progress)
    for _, reason in unreadable:
        progress.say(f"Skipped: {reason}")
    return images


def find_all(
    paths: Sequence[Path],
    *,
    leave_out: Path | None = None,
    progress: Progress = NullProgress(),
) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Lists images as `find_images` does, and what cannot be looked at with the reason."""
    files = {path for path in paths if not path.is_dir()}
    for path in files:
        # a dangling link is no reason to leave the other paths alone, a misspelt name is
        if not path.exists() and not path.is_symlink():
            raise DataError(f"{path} does not exist; give image files or folders")
    listings = [list_images(path, leave_out=leave_out) for path in paths if path.is_dir()]
    summary = summary_of(listings)
    if summary:
        progress.say(f"passed over in folders: {summary}")
    found = files.union(*(listing.images for listing in listings))
    unreadable = [each for listing in listings for each in listing.unreadable]
    if not found:
        raise nothing_found(", ".join(map(str, paths)) or "nothing", summary, unreadable)
    return sorted(found), unreadable


def nothing_found(place: str, summary: str, unreadable: Sequence[tuple[Path, str]]) -> DataError:
    """Returns the error that says why a place gives no image."""
    reasons = [summary, *(reason for _, reason in unreadable[:1])]
    why = "; ".join(reason for reason in reasons if reason)
    return DataError(
        f"no images in {place}{f' ({why})' if why else ''}; give PNG, JPEG, TIFF, WebP or BMP files"
    )


def images_below(folder: Path) -> list[Path]:
    """Lists the images in a folder and its sub-folders, sorted; see `list_images`."""
    return list_images(folder).images


def read_image(path: Path, *, image_shape: tuple[int, int, int]) -> ImageFile:
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
        original_size = oriented_size(image)
        pixels = decode(image, path, channels=channels, size=wanted)
    return ImageFile(path, pixels.contiguous(), original_size, original_size != wanted)


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
    if failures and not images:
        first = failures[0][1]
        others = len(failures) - 1
        raise ImageError(f"{first} ({others} others failed too)" if others else first)
    return images, failures


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
    pixels = pixels.detach().cpu()
    if pixels.dtype != torch.uint8:
        if pixels.isnan().any():
            raise ImageError(f"{path} would have NaN pixels; nothing is written")
        pixels = to_bytes(pixels.clamp(0, 1))
    array = pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)
    with replacing(path) as temporary:
        Image.fromarray(array.contiguous().numpy()).save(
            temporary, format="PNG", pnginfo=own_mark() if own else None
        )


def own_mark() -> PngInfo:
    """Returns what marks a PNG as written by this tool."""
    info = PngInfo()
    for key, text in SOFTWARE.items():
        info.add_text(key, text)
    return info
