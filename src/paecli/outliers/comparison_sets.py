"""Which images `pae ood --against` compares: the model's own test set and the other sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from paecli.data.images.files import read_images
from paecli.data.images.listing import find_images
from paecli.data.images.lists import is_list, read_list
from paecli.data.images.pixels import to_bytes
from paecli.data.model_data import Shape, fit_images, load_for_model, square_side
from paecli.data.sets.locations import require_comparison
from paecli.data.sets.named_sets import BUNDLED, NAMED_SETS
from paecli.data.substitute import load_or_substitute
from paecli.data.transforms import TRANSFORMS, transform_images
from paecli.model.origin import Origin
from paecli.system.progress import NullProgress, Progress


@dataclass(frozen=True, eq=False)
class ComparisonSet:
    """Images of one kind.

    Attributes:
        name: what the user asked for.
        images: `(n, c, h, w)` uint8 in the model's shape.
        substitute_for: the full data set in whose place a bundled sample stands, or empty.
    """

    name: str
    images: Tensor
    substitute_for: str = ""


def default_sets(dataset: str) -> list[str]:
    """Lists what a model of this data set is compared with when nothing is asked for."""
    family = BUNDLED[dataset].original if dataset in BUNDLED else dataset
    others = {"fmnist": ["mnist"], "mnist": ["fmnist"]}.get(family, [])
    return [*others, "hflip", "vflip", "noise", "constant", "invert"]


def reference_set(
    origin: Origin, *, data_dir: Path | None, progress: Progress = NullProgress()
) -> ComparisonSet:
    """Returns test images of the data set that the model was trained on, none of those it saw.

    Raises:
        DataError: as `load_for_model`.
    """
    loaded = load_for_model(origin, data_dir=data_dir, progress=progress)
    data = loaded.dataset
    return ComparisonSet(data.name, data.test.images, loaded.substitute_for or "")


def outlier_sets(
    names: Sequence[str],
    reference: ComparisonSet,
    *,
    data_dir: Path | None,
    seed: int = 0,
    progress: Progress = NullProgress(),
) -> list[ComparisonSet]:
    """Loads the sets to tell from the reference one.

    Args:
        names: transforms of the reference set, names of data sets (their test images) or folders
            (all their images).
        reference: the model's own test set.
        data_dir: where to look for data sets first.
        seed: of the transforms `noise` and `constant`.
        progress: told of downloads and files.

    Raises:
        UsageError: a name is none of these.
        DataError: a set cannot be read.
    """
    return [
        ComparisonSet(name, transform_images(name, reference.images, seed))
        if name in TRANSFORMS
        else _other_set(name, reference, data_dir=data_dir, progress=progress)
        for name in dict.fromkeys(names)
    ]


def _other_set(
    name: str, reference: ComparisonSet, *, data_dir: Path | None, progress: Progress
) -> ComparisonSet:
    channels, height, width = reference.images.shape[1:]
    shape = (channels, height, width)
    if name in NAMED_SETS or name in BUNDLED:
        return _named_set(name, image_shape=shape, data_dir=data_dir, progress=progress)
    require_comparison(name)
    place = Path(name)
    listed = [row.file for row in read_list(place)] if is_list(place) else [place]
    files = find_images([file for file in listed if file.exists()], progress=progress)
    images, failures = read_images(files, image_shape=shape, progress=progress)
    for _, message in failures:
        progress.say(f"skipped: {message}")
    return ComparisonSet(name, torch.stack([to_bytes(image.pixels) for image in images]))


def _named_set(
    name: str, *, image_shape: Shape, data_dir: Path | None, progress: Progress
) -> ComparisonSet:
    dataset, substitute_for = load_or_substitute(
        name,
        data_dir=data_dir,
        image_size=square_side(image_shape),
        channels=image_shape[0],
        progress=progress,
    )
    images = fit_images(dataset.test.images, image_shape)
    return ComparisonSet(dataset.name, images, substitute_for=substitute_for or "")
