"""The bundled sample of a data set, for machines that do not have the whole set."""

from functools import partial
from pathlib import Path

from paecli.data.dataset import ImageDataset
from paecli.data.datasets import load_dataset
from paecli.data.sets.named_sets import BUNDLED
from paecli.system.errors import DataError
from paecli.system.progress import NullProgress, Progress


def load_or_substitute(
    name: str,
    *,
    image_size: int | None,
    channels: int,
    data_dir: Path | None = None,
    progress: Progress = NullProgress(),
) -> tuple[ImageDataset, str | None]:
    """Loads a data set from this machine, or the bundled sample of it; downloads nothing.

    `progress` is told when a sample stands in.

    Args:
        name: a data set or a folder.
        image_size: pixels a side; None keeps that of the set.
        channels: 1 grey, 3 RGB.
        data_dir: where to look first.
        progress: told what was taken.

    Returns:
        The images, and the name of the full set when a sample stands in for it.

    Raises:
        DataError: the set is not on this machine and no sample of it is bundled.
    """
    load = partial(load_dataset, image_size=image_size, channels=channels, progress=progress)
    try:
        return load(name, data_dir=data_dir, download=False), None
    except DataError:
        sample = next((key for key, part in BUNDLED.items() if part.original == name), None)
        if sample is None:
            raise
    images = load(sample)
    progress.say(
        f"{name} is not on this machine: using {sample}, {len(images.test):,} bundled test images "
        f"(for all of them: --data-dir FOLDER, or `pae download {name}`)"
    )
    return images, name
