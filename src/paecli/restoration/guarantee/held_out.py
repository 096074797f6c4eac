"""Where held-out images of a model come from: a bundled sample, its data, or its own file."""

from pathlib import Path

from torch import Tensor

from paecli.data.datasets import load_dataset
from paecli.data.model_data import load_for_model, square_side
from paecli.data.sets.named_sets import BUNDLED
from paecli.model.model import Model
from paecli.store.header import Header
from paecli.store.runs import origin_of
from paecli.system.errors import DataError
from paecli.system.progress import NullProgress, Progress


def held_out_images(
    model: Model,
    header: Header | None,
    *,
    data_dir: Path | None = None,
    many: bool = False,
    progress: Progress = NullProgress(),
) -> Tensor:
    """Returns images like those the model was trained on, none of which it was.

    They are test images of the bundled sample of its data set; of other sets and folders, test
    images that are looked up where `many` or `data_dir` ask for it; else the few in its file.

    Args:
        model: the model.
        header: what its file says about it, or None.
        data_dir: where the model's data is.
        many: whether the few in the file are too few.
        progress: told of files.

    Returns:
        `(m, c, h, w)` uint8.

    Raises:
        DataError: `data_dir` does not hold the model's data.
    """
    stored = model.held_out_errors.images
    if header is None:
        return stored
    sample = next(
        (key for key, part in BUNDLED.items() if part.original == header.training_set), None
    )
    channels = model.image_shape[0]
    side = square_side(model.image_shape)
    if sample is not None and side is not None and data_dir is None:
        return load_dataset(sample, image_size=side, channels=channels).test.images
    if data_dir is None and not many:
        return stored
    try:
        origin = origin_of(model, header)
        return load_for_model(origin, data_dir=data_dir, progress=progress).dataset.test.images
    except DataError:
        if data_dir is not None:
            raise
        return stored
