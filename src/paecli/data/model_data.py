"""The images to use a model on: those of its own data set that it has not seen, or others."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paecli.data.dataset import ImageDataset, ImageSplit
from paecli.data.dataset_names import is_named
from paecli.data.datasets import load_dataset
from paecli.data.images.pixels import resize, set_channels, to_bytes
from paecli.data.moved_folders import load_moved
from paecli.data.splitting import content_keys, hold_out
from paecli.data.substitute import load_or_substitute
from paecli.model.origin import Origin
from paecli.system.errors import DataError
from paecli.system.progress import NullProgress, Progress

CHUNK = 1000  # images that are floats at the same time

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class ModelData:
    """Images in a model's shape, none of whose test images it was trained on, if that is known.

    Attributes:
        dataset: the images; test images that the model was trained on are left out.
        substitute_for: name of the full set when a bundled sample stands in for it.
        seen: how many test images were left out.
        trained_on: `(n, c, h, w)` uint8, the images that the model was trained on; None unless
            every one of them is known and here.
    """

    dataset: ImageDataset
    substitute_for: str | None
    seen: int
    trained_on: Tensor | None


def load_for_model(
    origin: Origin,
    *,
    dataset: str | None = None,
    data_dir: Path | None = None,
    whole: bool = False,
    progress: Progress = NullProgress(),
) -> ModelData:
    """Loads the data set to use a model on: the named one, or the one it was trained on.

    When the model's own set is not on this machine, the sample of it that ships with the
    package serves. `progress` is told so, and when the images are not those of the training.

    Args:
        origin: what the model was trained on.
        dataset: another set to use.
        data_dir: where to look for data sets first, and for a folder that was moved.
        whole: all images of `dataset` are test images where it has no split.
        progress: told of downloads and files.

    Raises:
        DataError: the set cannot be had; the model does not say which it was trained on; it
            was trained on all the test images; or the folder has changed and the model does not
            say which of its images it was trained on.
    """
    if not (dataset or origin.training_set):
        raise DataError(
            "the model does not say which images it was trained on; name a set with --dataset"
        )
    data, substitute_for = _load(origin, dataset, data_dir, whole, progress)
    data = _fit(data, origin.image_shape)
    same = data.content_hash == origin.content_hash
    seen = 0
    if origin.remembers:
        data, seen = _without_seen(data, origin, progress)
    if not same and substitute_for is None:
        _say_what_differs(data, origin, own=dataset is None, progress=progress)
    return ModelData(data, substitute_for, seen, _trained_on(data, origin, same=same))


def _load(
    origin: Origin, dataset: str | None, data_dir: Path | None, whole: bool, progress: Progress
) -> tuple[ImageDataset, str | None]:
    options: dict[str, Any] = {
        "data_dir": data_dir,
        "image_size": square_side(origin.image_shape),
        "channels": origin.image_shape[0],
        "progress": progress,
    }

    def load(name: str) -> ImageDataset:
        split: dict[str, Any] = {"split_seed": origin.split_seed, "split_by": origin.split_by}
        return load_dataset(name, **options, **split)

    if dataset is not None:
        options["whole"] = whole
        return load(dataset), None
    if is_named(origin.training_set):
        return load_or_substitute(origin.training_set, **options)
    folder = origin.training_set
    return load_moved(folder, data_dir, content_hash=origin.content_hash, load=load), None


def _without_seen(
    data: ImageDataset, origin: Origin, progress: Progress
) -> tuple[ImageDataset, int]:
    """Leaves out the test images that the model was trained on."""
    seen = origin.knows(content_keys(data.test.images))
    count = int(seen.sum())
    if not count:
        return data, 0
    if count == len(seen):
        raise DataError(
            f"the model was trained on all {count:,} test images of {data.source}; "
            "name images it has not seen with --dataset"
        )
    progress.say(
        f"{count:,} of {len(seen):,} test images of {data.source} are left out: "
        "the model was trained on them"
    )
    return replace(data, test=data.test.select(~seen)), count


def _say_what_differs(data: ImageDataset, origin: Origin, *, own: bool, progress: Progress) -> None:
    """Says that the images are not those of the training, and what is known of them.

    Raises:
        DataError: the model's own folder has changed, and which images it saw is not known.
    """
    if origin.remembers:
        if own:
            progress.say(
                f"{data.source} is not as it was when the model was trained on it (images added, "
                f"removed or renamed); it was trained on none of these {len(data.test):,} test "
                "images"
            )
        return
    if own and not is_named(origin.training_set):
        raise DataError(
            f"{data.source} is not as it was when the model was trained on it, and the model's "
            "file, of an older version, does not say on which images; point --data-dir to the "
            "same images, or name others with --dataset"
        )
    progress.say(
        f"the model's file, of an older version, does not say which images it was trained on: "
        f"test images of {data.source} may be among them"
    )


def _trained_on(data: ImageDataset, origin: Origin, *, same: bool) -> Tensor | None:
    """Returns the images that the model was trained on, if they are all here."""
    if origin.remembers:
        keys = content_keys(data.train.images)
        known = origin.knows(keys)
        complete = len(keys[known].unique()) == len(origin.training_keys)
        return data.train.select(known).images if complete else None
    if not same:
        return None
    kept, _ = hold_out(data.train, fraction=origin.held_out, seed=origin.split_seed, by="position")
    return kept.take(origin.limit or len(kept)).images


def _fit(data: ImageDataset, image_shape: Shape) -> ImageDataset:
    """Brings images into the model's shape, where that is no square."""

    def fit(split: ImageSplit) -> ImageSplit:
        return replace(split, images=fit_images(split.images, image_shape))

    return replace(data, train=fit(data.train), test=fit(data.test))


def square_side(image_shape: Shape) -> int | None:
    """Returns the side that loaders are asked for; None for shapes that are no squares.

    Those come only from folders whose images all have that very size.
    """
    _, height, width = image_shape
    return height if height == width else None


def fit_images(images: Tensor, image_shape: Shape) -> Tensor:
    """Brings `(n, c, h, w)` uint8 images into the model's shape, unchanged if they have it."""
    if tuple(images.shape[1:]) == image_shape:
        return images
    channels, *size = image_shape
    chunks = (set_channels(chunk.float() / 255, channels) for chunk in images.split(CHUNK))
    return torch.cat([to_bytes(resize(chunk, (size[0], size[1]))) for chunk in chunks])
