"""Unpacks archives of named data sets that somebody downloaded by hand."""

import gzip
import lzma
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from paecli.data.sets.locations import dataset_cache, find_location, search_folders
from paecli.data.sets.named_sets import NamedSet
from paecli.system.errors import DataError
from paecli.system.locks import only_process
from paecli.system.progress import Progress
from paecli.system.temporary import temporary_folder

# An archive of pictures hardly shrinks them; one that unpacks into far more than it takes up
# is none, or is made to fill the disk.
LARGEST_GROWTH = 20
ALWAYS_ALLOWED = 64 << 20  # bytes, however small the archive is
MOST_FILES = 1_000_000  # CelebA has 202,599
LARGEST_READ = 16 << 20  # bytes; tarfile reads a member's extended header at once

FAILURES = (
    OSError, EOFError, ValueError, RuntimeError, KeyError, struct.error, shutil.ReadError,
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip


@contextmanager
def staging_folder(root: Path) -> Iterator[Path]:
    """Gives a folder to fill, and moves its content into `root` when all went well.

    A set that was only half written never gets a name under which it would be found.
    """
    root.mkdir(parents=True, exist_ok=True)
    with temporary_folder(root) as staging:
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
        DataError: an archive is damaged, unpacks into far too much, or the disk is full.
        WriteError: the cache cannot be written.
    """
    archives = [_find_archive(archive, named, data_dir) for archive in named.archives]
    found = [archive for archive in archives if archive]
    if not found or len(found) < len(archives):
        return False
    with only_process(named.title, f"fetching {named.title}", progress):
        if find_location(named, data_dir) is None:  # else another process was quicker
            _unpack_all(found, named.unpack_to, progress)
    return True


def _unpack_all(found: Sequence[Path], unpack_to: str, progress: Progress) -> None:
    archive = found[0]
    try:
        with staging_folder(dataset_cache()) as staging:
            for archive in found:
                progress.say(f"unpacking {archive}")
                _unpack(archive, staging / unpack_to)
    except FAILURES as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(
            f"cannot unpack {archive} into {dataset_cache()}: {reason:.300}; download it again, "
            "or free some space"
        ) from error


def _find_archive(archive: str, named: NamedSet, data_dir: Path | None) -> Path | None:
    for root in search_folders(data_dir):
        for folder in ("", *named.folders):
            path = root / folder / archive
            if path.is_file():
                return path
    return None


def _unpack(archive: Path, folder: Path) -> None:
    """Unpacks files and folders, and nothing else, once their announced sizes are added up.

    Neither format gives more bytes for a member than it announces.
    """
    folder.mkdir(parents=True, exist_ok=True)
    growth = ALWAYS_ALLOWED + LARGEST_GROWTH * archive.stat().st_size
    limit = min(growth, shutil.disk_usage(folder).free)
    if archive.suffix == ".zip":
        _unpack_zip(archive, folder, limit)
    else:
        _unpack_tar(archive, folder, limit)


def _unpack_zip(archive: Path, folder: Path, limit: int) -> None:
    with zipfile.ZipFile(archive) as packed:
        members = packed.infolist()
        _check_size(sum(member.file_size for member in members), len(members), limit)
    shutil.unpack_archive(archive, folder)  # skips absolute paths and those with `..`


def _unpack_tar(archive: Path, folder: Path, limit: int) -> None:
    members: list[tarfile.TarInfo] = []
    size = 0
    with _BoundedGzip(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as packed:
        for member in packed:  # the next is found by expanding this one, so count as we go
            if not (member.isreg() or member.isdir()):
                raise tarfile.ReadError(f"{member.name!r:.100} is neither a file nor a folder")
            members.append(member)
            size += member.size
            _check_size(size, len(members), limit)
        # refuses paths that lead out of the folder
        packed.extractall(folder, members, filter="data")


def _check_size(size: int, count: int, limit: int) -> None:
    if size > limit or count > MOST_FILES:
        raise ValueError(
            f"its {count} files take {size / 1e6:.1f} MB or more, {limit / 1e6:.1f} MB are allowed"
        )


class _BoundedGzip(gzip.GzipFile):
    """Refuses to expand much at once, as a hostile length in a tar's header would have it."""

    def read(self, size: int | None = -1) -> bytes:
        """Reads as a gzip file does; tarfile copies file contents in small pieces."""
        if size is None or not 0 <= size <= LARGEST_READ:
            raise tarfile.ReadError("it announces a header of absurd length")
        return super().read(size)
