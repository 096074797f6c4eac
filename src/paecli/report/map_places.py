"""Where heat maps go, and what lies beside them; told without torch."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from paecli.system.outputs import distinct_names

TABLE, SCALE, ENDING = "regions.csv", "scale.png", "-map.png"
LONGEST_NAME = 255  # bytes, on nearly every disk


def map_files(images: Sequence[Path]) -> list[Path]:
    """Returns all files in the folder of maps of these images, relative to it."""
    return [*map_names(images).values(), Path(TABLE), Path(SCALE)]


def map_names(paths: Sequence[Path]) -> dict[Path, Path]:
    """Chooses the file of each image's heat map, relative to the folder of maps.

    Images in sub-folders keep them; two that differ only in their suffix keep it.
    """
    above = _common_folder(paths)
    relative = {path: path.absolute().relative_to(above) for path in paths}
    chosen = distinct_names(list(relative.values()))
    return {
        path: chosen[name].with_name(_shortened(chosen[name].name) + ENDING)
        for path, name in relative.items()
    }


def _shortened(name: str) -> str:
    """Cuts a name that would be too long for a file with the ending; what is cut stays distinct."""
    encoded = os.fsencode(name)
    room = LONGEST_NAME - len(ENDING)
    if len(encoded) <= room:
        return name
    mark = f"~{hashlib.sha256(encoded).hexdigest()[:8]}"
    return encoded[: room - len(mark)].decode(errors="ignore") + mark


def _common_folder(paths: Sequence[Path]) -> Path:
    folder = paths[0].absolute().parent
    while any(folder not in path.absolute().parents for path in paths):
        folder = folder.parent
    return folder
