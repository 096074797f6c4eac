"""Loads a data set by its name or folder."""

from pathlib import Path

from paecli.data.bundled_samples import BUNDLED, load_bundled
from paecli.data.dataset import ImageDataset, ImageSplit, make_dataset
from paecli.data.idx import read_idx
from paecli.data.named_sets import NAMED_SETS
from paecli.data.places import find_files, search_folders
from paecli.errors import DataError
from paecli.progress import NullProgress, Progress


def load_dataset(
    name: str,
    *,
    data_dir: Path | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    download: bool = True,
    split_seed: int = 0,
    progress: Progress = NullProgress(),
) -> ImageDataset:
    """Loads a data set into 8-bit tensors."""
    if name in BUNDLED:
        return load_bundled(name)
    if name not in NAMED_SETS:
        raise DataError(f"no data set {name!r}")
    named = NAMED_SETS[name]
    files = find_files(named, data_dir)
    if files is None:
        raise DataError(f"{name} not found in {', '.join(map(str, search_folders(data_dir)))}")
    images, labels, test_images, test_labels = (read_idx(files[file]) for file in named.files)
    return make_dataset(
        name,
        ImageSplit(images.unsqueeze(1), labels.long(), named.classes),
        ImageSplit(test_images.unsqueeze(1), test_labels.long(), named.classes),
        source=str(files[named.files[0]].parent),
    )
