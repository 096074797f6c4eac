"""What a user calls a data set: a name that is known, or a folder."""

import os
from pathlib import Path

from paecli.data.images.lists import is_list
from paecli.data.sets.named_sets import BUNDLED, NAMED_SETS
from paecli.system.errors import DataError
from paecli.system.names import escape_name, is_utf8


def is_named(dataset: str) -> bool:
    """Tells whether a set is known by its name; the others are folders."""
    return dataset in NAMED_SETS or dataset in BUNDLED


def holds_images(path: Path) -> bool:
    """Tells whether a path can be a data set: a folder, or a list of files."""
    return path.is_dir() or is_list(path)


def find_folder(name: str, data_dir: Path | None) -> Path | None:
    """Returns the folder or list that a user means: as called, else in `data_dir`, else None."""
    candidates = [Path(name)] if data_dir is None else [Path(name), data_dir / name]
    return next((candidate for candidate in candidates if holds_images(candidate)), None)


def absolute_name(dataset: str, data_dir: Path | None) -> str:
    """Returns what means the same set from every working directory.

    Args:
        dataset: a name, which stays as it is, or a folder.
        data_dir: where a folder is looked for that is not there as it is called.

    Raises:
        DataError: the folder's path is not UTF-8, so no file could keep it.
    """
    folder = None if is_named(dataset) else find_folder(dataset, data_dir)
    if folder is None:
        return dataset
    absolute = os.path.abspath(folder)  # noqa: PTH100  `resolve` would follow the user's links
    if not is_utf8(absolute):
        raise DataError(
            f"the name of the folder {escape_name(absolute)} is not UTF-8, so no model file could "
            "keep it; rename it, or give a link to it"
        )
    return absolute
