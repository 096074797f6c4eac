"""Unpacks archives of named data sets that somebody downloaded by hand."""

import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paecli.data.named_sets import NamedSet
from paecli.data.places import dataset_cache, search_folders
from paecli.errors import DataError
from paecli.progress import Progress


@contextmanager
def staging_folder(root: Path) -> Iterator[Path]:
    """Gives a folder to fill, and moves its content into `root` when all went well.

    A set that was only half written never gets a name under which it would be found.
    """
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".staging-") as name:
        staging = Path(name)
        yield staging
        for entry in list(staging.iterdir()):
            target = root / entry.name
            if target.exists():
                target.rename(staging / f"{entry.name}.old")
            entry.rename(target)


def unpack_archives(named: NamedSet, data_dir: Path | None, progress: Progress) -> bool:
    """Looks for the archives of a set where sets are searched; unpacks them into the cache.

    Returns:
        Whether all of them were found.

    Raises:
        DataError: an archive is damaged or the disk is full.
    """
    archives = [_find_archive(archive, named, data_dir) for archive in named.archives]
    found = [archive for archive in archives if archive]
    if not found or len(found) < len(archives):
        return False
    with staging_folder(dataset_cache()) as staging:
        for archive in found:
            progress.say(f"unpacking {archive}")
            _unpack(archive, staging / named.unpack_to)
    return True


def _find_archive(archive: str, named: NamedSet, data_dir: Path | None) -> Path | None:
    for root in search_folders(data_dir):
        for folder in ("", *named.folders):
            path = root / folder / archive
            if path.is_file():
                return path
    return None


def _unpack(archive: Path, folder: Path) -> None:
    try:
        if archive.suffix == ".zip":
            shutil.unpack_archive(archive, folder)
        else:
            # refuses links and paths that lead out of the folder
            shutil.unpack_archive(archive, folder, filter="data")
    except (OSError, EOFError, ValueError, RuntimeError, shutil.ReadError, tarfile.TarError,
            zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
        reason = str(error).partition("\n")[0]
        raise DataError(f"cannot unpack {archive}: {reason}; download it again") from error
