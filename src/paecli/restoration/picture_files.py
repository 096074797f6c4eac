"""Where the pictures of restored images go; told without torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from paecli.system.outputs import distinct_names

PICTURES = ("map", "mean", "std", "samples", "overview")
INTERVALS = ("lower", "upper")  # with a guarantee
ENDING = ".png"


def picture_names() -> list[str]:
    """Returns the files that a restoration writes, or may have written by other options."""
    return [f"{name}{ENDING}" for name in (*PICTURES, *INTERVALS)]


def picture_files(folder: Path, *, intervals: bool) -> dict[str, Path]:
    """Returns the files of a restored image by their keys in the JSON output.

    Args:
        folder: the image's own.
        intervals: whether there are guaranteed intervals.
    """
    names = (*PICTURES, *INTERVALS) if intervals else PICTURES
    return {f"{name}_file": folder / f"{name}{ENDING}" for name in names}


def folders_for(paths: Sequence[Path], source: Path, out: Path) -> Mapping[Path, Path]:
    """Returns the folder of each image's pictures.

    Args:
        paths: image files.
        source: what the user named: the only one of them, or the folder they are in.
        out: the folder for all.

    Returns:
        `out` for an image that was named; of a folder, `out/a` for `a.png`, and `out/a.png` if
        there is an `a.jpg`, too.
    """
    if not source.is_dir():
        return {paths[0]: out}
    below = {path: path.relative_to(source) for path in paths}
    chosen = distinct_names(list(below.values()))
    return {path: out / chosen[relative] for path, relative in below.items()}
