"""Which image files a user means: files and folders in, sorted paths out."""

from collections.abc import Sequence
from pathlib import Path

from paecli.system.errors import DataError

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".pgm", ".ppm"}
)


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Lists the images that files and folders (searched to any depth) stand for.

    Args:
        paths: files are taken whatever they are called, folders give what has an image suffix.

    Returns:
        Sorted paths, each once; hidden files in folders are left out.

    Raises:
        DataError: a path does not exist, or there is no image at all.
    """
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found.update(images_below(path))
        elif path.exists():
            found.add(path)
        else:
            raise DataError(f"{path} does not exist; give image files or folders")
    if not found:
        places = ", ".join(map(str, paths)) or "nothing"
        raise DataError(f"no images in {places}; give PNG, JPEG, TIFF, WebP or BMP files")
    return sorted(found)


def images_below(folder: Path) -> list[Path]:
    """Lists the files with an image suffix in a folder and its sub-folders, sorted."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
