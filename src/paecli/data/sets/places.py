"""Where data sets are looked for on this machine, and in which order."""

import os
from pathlib import Path

from paecli.data.sets.named_sets import NamedSet
from paecli.system.folders import cache_folder

DATA_VARIABLE = "PAE_DATA"
SYSTEM_FOLDER = Path("/usr/share/datasets")  # where Debian's dataset packages install


def dataset_cache() -> Path:
    """Returns the user's cache folder for data sets."""
    return cache_folder() / "datasets"


def search_folders(data_dir: Path | None) -> list[Path]:
    """Lists the folders to search, first choice first."""
    return [*_chosen_folders(data_dir), dataset_cache(), SYSTEM_FOLDER]


def find_place(named: NamedSet, data_dir: Path | None) -> Path | None:
    """Finds the folder that holds all files of a data set, gzipped or not.

    Files right in a folder, not in a sub-folder of a known name, count only where the user
    chose that folder.
    """
    chosen = _chosen_folders(data_dir)
    for root in search_folders(data_dir):
        places = [root / folder for folder in named.folders]
        if root in chosen:
            places.append(root)
        for place in places:
            if all(find_file(place, name) for name in named.files):
                return place
    return None


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
