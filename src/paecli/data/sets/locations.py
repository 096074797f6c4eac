"""Where data sets are looked for on this machine, and in which order."""

import os
from collections.abc import Sequence
from pathlib import Path

from paecli.data.images.lists import is_list
from paecli.data.sets.named_sets import BUNDLED, NAMED_SETS, TRANSFORM_NAMES, NamedSet
from paecli.system.errors import DataError, UsageError
from paecli.system.folders import cache_folder

DATA_VARIABLE = "PAE_DATA"
SYSTEM_FOLDER = Path("/usr/share/datasets")  # where Debian's dataset packages install


def dataset_cache() -> Path:
    """Returns the user's cache folder for data sets."""
    return cache_folder() / "datasets"


def search_folders(data_dir: Path | None) -> list[Path]:
    """Lists the folders to search, first choice first."""
    return [*_chosen_folders(data_dir), dataset_cache(), SYSTEM_FOLDER]


def find_location(named: NamedSet, data_dir: Path | None) -> Path | None:
    """Finds the folder that holds all files of a data set, gzipped or not.

    Files right in a folder, not in a sub-folder of a known name, count only where the user
    chose that folder.
    """
    chosen = _chosen_folders(data_dir)
    for root in search_folders(data_dir):
        candidates = [root / folder for folder in named.folders]
        if root in chosen:
            candidates.append(root)
        for candidate in candidates:
            if has_files(candidate, named.files) or has_files(candidate, named.arrays):
                return candidate
    return None


def has_files(folder: Path, names: Sequence[str]) -> bool:
    """Tells whether a folder holds all of some files, gzipped or not."""
    return bool(names) and all(find_file(folder, name) for name in names)


def require_dataset(name: str) -> None:
    """Refuses a name that is neither a data set's nor that of a folder or a list of files.

    Raises:
        DataError: names the sets that are known.
    """
    if name in NAMED_SETS or name in BUNDLED:
        return
    if not Path(name).is_dir() and not is_list(Path(name)):
        known = ", ".join([*NAMED_SETS, *BUNDLED])
        raise DataError(f"{name!r} is neither a folder of images nor a data set; sets: {known}")


def require_comparison(name: str) -> None:
    """Refuses a name that stands for no set to compare a model's own with.

    Raises:
        UsageError: neither a transform, nor a data set, nor a folder.
    """
    known = [*TRANSFORM_NAMES, *NAMED_SETS, *BUNDLED]
    if name not in known and not Path(name).is_dir() and not is_list(Path(name)):
        raise UsageError(f"--against {name}: neither a folder nor one of {', '.join(known)}")


def parse_position(text: str) -> tuple[str, int] | None:
    """Reads `test:12` or `train:12`, a place in a data set; None if it names a file instead."""
    part, _, index = text.partition(":")
    if part not in ("train", "test") or not index.isdecimal() or Path(text).exists():
        return None
    return part, int(index)


def find_file(folder: Path, name: str) -> Path | None:
    """Finds a file or its gzipped form in a folder."""
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.exists():
            return candidate
    return None


def _chosen_folders(data_dir: Path | None) -> list[Path]:
    variable = os.environ.get(DATA_VARIABLE)
    chosen = [data_dir] if data_dir else []
    chosen += [Path(variable)] if variable else []
    return list(dict.fromkeys(chosen))
