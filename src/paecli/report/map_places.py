"""Where heat maps go, and what lies beside them; told without torch."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

TABLE, SCALE = "regions.csv", "scale.png"


def map_files(images: Sequence[Path]) -> list[Path]:
    """Returns all files in the folder of maps of these images, relative to it."""
    return [*map_names(images).values(), Path(TABLE), Path(SCALE)]


def map_names(paths: Sequence[Path]) -> dict[Path, Path]:
    """Chooses the file of each image's heat map, relative to the folder of maps.

    Images in sub-folders keep them; two that differ only in their suffix keep it.
    """
    above = _common_folder(paths)
    relative = {path: path.absolute().relative_to(above) for path in paths}
    shared = Counter(name.with_suffix("") for name in relative.values())
    return {
        path: name.with_name(
            f"{name.name if shared[name.with_suffix('')] > 1 else name.stem}-map.png"
        )
        for path, name in relative.items()
    }


def _common_folder(paths: Sequence[Path]) -> Path:
    folder = paths[0].absolute().parent
    while any(folder not in path.absolute().parents for path in paths):
        folder = folder.parent
    return folder
