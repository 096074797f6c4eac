"""Which images a model is evaluated on."""

from pathlib import Path

from paecli.core.pae import PAE
from paecli.data import ImageDataset, load_dataset
from paecli.data.stand_in import load_or_stand_in
from paecli.errors import DataError
from paecli.progress import NullProgress, Progress
from paecli.store.checkpoint import Header
from paecli.workflows.comparison_sets import training_set


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
    channels, height, _ = model.image_shape
    if dataset is not None:
        return load_dataset(
            dataset, data_dir=data_dir, image_size=height, channels=channels, progress=progress
        ), None
    own = training_set(header)
    if not own:
        raise DataError(
            "the model does not say which images it was trained on; name a set with --dataset"
        )
    return load_or_stand_in(
        own, data_dir=data_dir, image_size=height, channels=channels, progress=progress
    )
