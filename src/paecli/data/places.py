"""Where data sets are looked for on this machine, and in which order."""

import os
from pathlib import Path

from platformdirs import user_cache_path

from paecli.data.named_sets import NamedSet

DATA_VARIABLE = "PAE_DATA"
SYSTEM_FOLDER = Path("/usr/share/datasets")  # where Debian's dataset packages install


def cache_folder() -> Path:
    """Returns the user's cache folder for data sets."""
    return user_cache_path("pae") / "datasets"


def search_folders(data_dir: Path | None) -> list[Path]:
    """Lists the folders to search, first choice first."""
    variable = os.environ.get(DATA_VARIABLE)
    chosen = [data_dir] if data_dir else []
    chosen += [Path(variable)] if variable else []
    return list(dict.fromkeys([*chosen, cache_folder(), SYSTEM_FOLDER]))


def find_files(named: NamedSet, data_dir: Path | None) -> dict[str, Path] | None:
    """Finds the files of a data set.

    Files right in a folder count only in a folder that was named by the user, because
    all relatives of MNIST call their files the same.

    Returns:
        For each of the set's files where it is, gzipped or not; None when nowhere complete.
    """
    for root in search_folders(data_dir):
        places = [root / folder for folder in named.folders]
        for place in [*places, root]:
            found = {name: _find_file(place, name) for name in named.files}
            if all(found.values()):
                return {name: path for name, path in found.items() if path}
    return None


def _find_file(folder: Path, name: str) -> Path | None:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.exists():
            return candidate
    return None
