"""Loads a data set by its name or folder."""

from pathlib import Path

import torch
from torch import Tensor

from paecli.data.dataset import ImageDataset, ImageSplit, make_dataset
from paecli.data.dataset_names import find_folder
from paecli.data.folder import load_folder
from paecli.data.images.pixels import resize, set_channels, to_bytes
from paecli.data.sets.archives import unpack_archives
from paecli.data.sets.downloads import download_dataset
from paecli.data.sets.locations import DATA_VARIABLE, find_location, require_dataset, search_folders
from paecli.data.sets.named_sets import BUNDLED, NAMED_SETS
from paecli.data.sets.readers import Splits, load_bundled, read_named
from paecli.data.splitting import SplitRule
from paecli.system.errors import DataError
from paecli.system.progress import NullProgress, Progress

CHUNK = 1000  # images that are converted at once


def load_dataset(
    name: str,
    *,
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    download: bool = True,
    split_seed: int = 0,
    split_by: SplitRule = "content",
    leave_out: Path | None = None,
    whole: bool = False,
    progress: Progress = NullProgress(),
) -> ImageDataset:
    """Loads a data set into 8-bit tensors.

    Args:
        name: a key of `NAMED_SETS` or `BUNDLED`, a folder of images, or a list of files.
        data_dir: where to look for named sets first; then the variable `PAE_DATA`, the user's
            cache and /usr/share/datasets. Folders that are not there as named are looked for
            in it, too.
        image_size: side of a square in pixels; by default that of the set, or the one that all
            images of the folder share.
        channels: 1 grey or 3 RGB; by default that of the set, or of the folder's first image.
        download: whether a named set that is not on this machine may be downloaded.
        split_seed: chooses the test images of a folder without a `test` sub-folder.
        split_by: the rule by which they are drawn.
        leave_out: a folder inside a folder of images that is about to be written to.
        whole: all images of a folder or list that has no split are test images.
        progress: told while decoding and downloading.

    Raises:
        DataError: no such set or folder, not found and not downloaded, damaged.
    """
    if name in NAMED_SETS:
        folder = None if data_dir is None else Path(data_dir)
        place = _find_or_download(name, folder, download, progress)
        splits = read_named(NAMED_SETS[name], place, image_size, progress)
        return _fit_dataset(name, splits, str(place), image_size, channels)
    if name in BUNDLED:
        splits = load_bundled(name)
        return _fit_dataset(name, splits, f"the bundled {name}", image_size, channels)
    folder = find_folder(name, None if data_dir is None else Path(data_dir)) or Path(name)
    require_dataset(str(folder))
    return load_folder(
        folder,
        image_size=image_size,
        channels=channels,
        split_seed=split_seed,
        split_by=split_by,
        leave_out=leave_out,
        whole=whole,
        progress=progress,
    )


def _find_or_download(name: str, data_dir: Path | None, download: bool, progress: Progress) -> Path:
    named = NAMED_SETS[name]
    place = find_location(named, data_dir)
    if place:
        return place
    if not unpack_archives(named, data_dir, progress):
        if not download:
            raise _not_found(name, data_dir, "no download was tried")
        try:
            download_dataset(name, anew=False, progress=progress)
        except DataError as error:
            raise _not_found(name, data_dir, str(error)) from error
    place = find_location(named, data_dir)
    if place is None:
        raise _not_found(name, data_dir, "the archive lacks its files")
    return place


def _not_found(name: str, data_dir: Path | None, problem: str) -> DataError:
    named = NAMED_SETS[name]
    looked = ", ".join(map(str, search_folders(data_dir)))
    files = _file_list(named.archives or named.files)
    mini = f"; {name}-mini is bundled and needs neither" if f"{name}-mini" in BUNDLED else ""
    return DataError(
        f"{name} is in none of {looked}, and {problem}; either run `pae download {name}` with a "
        f"network, or put {files} into FOLDER/{named.folders[-1]} and give --data-dir FOLDER "
        f"(or set {DATA_VARIABLE}){mini}"
    )


def _file_list(files: tuple[str, ...]) -> str:
    return " and ".join(files) if len(files) < 3 else f"{files[0]} ... {files[-1]}[.gz]"


def _fit_dataset(
    name: str, splits: Splits, source: str, image_size: int | None, channels: int | None
) -> ImageDataset:
    train, test = (_fit(split, image_size, channels) for split in splits)
    return make_dataset(name, train, test, source=source)


def _fit(split: ImageSplit, image_size: int | None, channels: int | None) -> ImageSplit:
    """Brings images to another size or other channels, when asked to."""
    present, height, width = split.image_shape
    size = (image_size, image_size) if image_size else (height, width)
    wanted = channels or present
    if (wanted, *size) == split.image_shape:
        return split
    parts = [_convert(part, size, wanted) for part in split.images.split(CHUNK)]
    return ImageSplit(torch.cat(parts), split.labels, split.classes)


def _convert(images: Tensor, size: tuple[int, int], channels: int) -> Tensor:
    return to_bytes(resize(set_channels(images.float() / 255, channels), size))
