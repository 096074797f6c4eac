"""The images of a model: its data set, or another one, in the shape it takes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paecli.data.dataset import ImageDataset
from paecli.data.datasets import load_dataset
from paecli.data.images.pixels import resize, set_channels, to_bytes
from paecli.data.stand_in import load_or_stand_in
from paecli.system.errors import DataError
from paecli.system.progress import NullProgress, Progress

CHUNK = 1000  # images that are floats at the same time

Shape = tuple[int, int, int]


def load_for_model(
    training_set: str,
    *,
    image_shape: Shape,
    dataset: str | None = None,
    data_dir: Path | None = None,
    progress: Progress = NullProgress(),
) -> tuple[ImageDataset, str | None]:
    """Loads the data set to use a model on: the named one, or the one it was trained on.

    When the model's own set is not on this machine, the sample of it that ships with the
    package serves, and `progress` is told so.

    Args:
        training_set: what the model was trained on; empty when it does not say.
        image_shape: `(channels, height, width)` that the model takes.
        dataset: another set to use.
        data_dir: where to look for data sets first.
        progress: told of downloads and files.

    Returns:
        The images, and the name of the full set when a sample stands in for it.

    Raises:
        DataError: the set cannot be had, or the model does not say which it was trained on.
    """
    own = dataset or training_set
    if not own:
        raise DataError(
            "the model does not say which images it was trained on; name a set with --dataset"
        )
    options: dict[str, Any] = {
        "data_dir": data_dir,
        "image_size": square_side(image_shape),
        "channels": image_shape[0],
        "progress": progress,
    }
    if dataset is not None:
        return _fit(load_dataset(dataset, **options), image_shape), None
    images, substitute_for = load_or_stand_in(own, **options)
    return _fit(images, image_shape), substitute_for


def _fit(data: ImageDataset, image_shape: Shape) -> ImageDataset:
    """Brings images into the model's shape, where that is no square."""
    train, test = (
        replace(split, images=fit_images(split.images, image_shape))
        for split in (data.train, data.test)
    )
    return replace(data, train=train, test=test)


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
