"""Which images a model is evaluated on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from paecli.data import ImageDataset, load_dataset
from paecli.data.stand_in import load_or_stand_in
from paecli.model.model import PAE
from paecli.outliers.comparison_sets import fit_images, square_side
from paecli.store.header import Header, training_set
from paecli.system.errors import DataError
from paecli.system.progress import NullProgress, Progress


def load_evaluation_data(
    model: PAE,
    header: Header,
    *,
    dataset: str | None = None,
    data_dir: Path | None = None,
    progress: Progress = NullProgress(),
) -> tuple[ImageDataset, str | None]:
    """Loads the data set to evaluate on: the named one, or the one the model was trained on.

    When the model's own set is not on this machine, the sample of it that ships with the
    package serves, and `progress` is told so.

    Returns:
        The images, and the name of the full set when a sample stands in for it.

    Raises:
        DataError: the set cannot be had, or the model does not say which it was trained on.
    """
    own = dataset or training_set(header)
    if not own:
        raise DataError(
            "the model does not say which images it was trained on; name a set with --dataset"
        )
    options: dict[str, Any] = {
        "data_dir": data_dir,
        "image_size": square_side(model.image_shape),
        "channels": model.image_shape[0],
        "progress": progress,
    }
    if dataset is not None:
        return _fit(load_dataset(dataset, **options), model), None
    images, substitute_for = load_or_stand_in(own, **options)
    return _fit(images, model), substitute_for


def _fit(data: ImageDataset, model: PAE) -> ImageDataset:
    """Brings images into the model's shape, where that is no square."""
    train, test = (
        replace(split, images=fit_images(split.images, model.image_shape))
        for split in (data.train, data.test)
    )
    return replace(data, train=train, test=test)
