"""How this tool knows what it wrote itself, so that no command takes it for the user's images."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL.PngImagePlugin import PngInfo

from paecli.system.errors import WriteError

AUTOENCODER_FILE = "autoencoder.safetensors"  # stage 1
MODEL_FILE = "model.safetensors"  # both stages; what is published
CONFIG_FILE = "config.yaml"
STATE_ENDING = "-state.safetensors"  # of an unfinished stage

SOFTWARE = {"Software": "pae"}  # text in every picture, by PNG's own keyword
PICTURE_MARK = b"tEXtSoftware\x00pae"
MARK_WITHIN = 512  # bytes; the text comes right after the header
PAGE_MARK = b"Made by pae "  # in the last line of every page
TABLE_MARKS = (b"path,left,top,right,bottom,area,p_value",)  # first lines of tables


def is_own_picture(path: Path) -> bool:
    """Tells whether a file is a picture that this tool wrote; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            return PICTURE_MARK in file.read(MARK_WITHIN)
    except OSError:
        return False


def is_own_result(path: Path) -> bool:
    """Tells whether a file is a picture, page or table that this tool wrote into a folder."""
    try:
        with path.open("rb") as file:
            beginning = file.read(MARK_WITHIN)
            file.seek(-min(MARK_WITHIN, file.seek(0, os.SEEK_END)), os.SEEK_END)
            end = file.read()
    except OSError:
        return False
    return PICTURE_MARK in beginning or PAGE_MARK in end or beginning.startswith(TABLE_MARKS)


def earlier_results(files: Iterable[Path]) -> list[Path]:
    """Returns which of the files that a command is about to write are there from before.

    Raises:
        WriteError: this tool did not write one that is there, so it shall stay.
    """
    there = [file for file in files if os.path.lexists(file)]
    for file in there:
        if not is_own_result(file):
            raise WriteError(
                f"{file} is there and does not look like a result of pae; choose another folder"
            )
    return there


def distinct_names(names: Sequence[Path]) -> dict[Path, Path]:
    """Drops the suffix of each name that is nobody else's without it.

    Args:
        names: relative paths of files, all different.
    """
    bare, whole = Counter(name.with_suffix("") for name in names), set(names)
    return {
        name: name if bare[short := name.with_suffix("")] > 1 or short in whole else short
        for name in names
    }


def is_run_folder(files: frozenset[str]) -> bool:
    """Tells by the names of its files whether a folder is a run's, finished or not."""
    trained = {AUTOENCODER_FILE, MODEL_FILE} & files
    return CONFIG_FILE in files and bool(
        trained or any(name.endswith(STATE_ENDING) for name in files)
    )


def own_mark() -> PngInfo:
    """Returns what marks a PNG as written by this tool."""
    info = PngInfo()
    for key, text in SOFTWARE.items():
        info.add_text(key, text)
    return info
