"""The images of a run: those it trains on, tunes on and tests on, the same ones in both stages."""

from pathlib import Path

import torch

from paecli.data import (
    ImageDataset,
    ImageSplit,
    SplitRule,
    content_keys,
    hold_out,
    load_dataset,
)
from paecli.data.dataset_names import is_named
from paecli.data.moved_folders import load_moved
from paecli.model.held_out_errors import calibration_part
from paecli.model.requirements import typed_rate
from paecli.system.errors import DataError, TrainingError
from paecli.system.limits import spread
from paecli.system.names import counted
from paecli.system.progress import Progress
from paecli.training.settings import DataSettings
from paecli.training.state import TrainingState

# p-values are no finer than one in the half of the held-out images that they are measured
# against, so of few images a larger part is held out
USUAL_PART, LARGEST_PART = 1 / 12, 1 / 4
WANTED = 100  # held-out images
NEEDED = 26  # of so many, 19 are left for p-values, whose smallest is then .05


def read_data(
    settings: DataSettings,
    *,
    data_dir: Path | None,
    leave_out: Path | None = None,
    progress: Progress,
) -> ImageDataset:
    """Loads the data set that the settings name."""
    return load_dataset(
        settings.dataset,
        data_dir=data_dir,
        image_size=settings.image_size,
        channels=settings.channels,
        split_seed=settings.split_seed,
        split_by=settings.split_by,
        leave_out=leave_out,
        progress=progress,
    )


def read_same_data(
    settings: DataSettings,
    content_hash: str,
    *,
    run_dir: Path,
    data_dir: Path | None,
    progress: Progress,
) -> ImageDataset:
    """Loads the data set that stage 1 was trained on, from where it is now.

    Raises:
        DataError: it is missing, or its images are other ones.
    """

    def load(dataset: str) -> ImageDataset:
        there = settings.model_copy(update={"dataset": dataset})
        return read_data(there, data_dir=data_dir, progress=progress)

    if is_named(settings.dataset):
        data = load(settings.dataset)
    else:
        data = load_moved(settings.dataset, data_dir, content_hash=content_hash, load=load)
    if data.content_hash != content_hash:
        raise DataError(
            f"{data.source} is not what the autoencoder in {run_dir} was trained on; "
            "point --data-dir to the same images, or train it again"
        )
    return data


def refuse_other_data(state: TrainingState | None, data: ImageDataset, run_dir: Path) -> None:
    """Keeps `--resume` from going on with other images than the run was started with.

    Raises:
        TrainingError: they are others. States of version 0.1 do not tell.
    """
    if state is not None and state.content_hash not in (None, data.content_hash):
        raise TrainingError(
            f"{data.source} is not as it was when the run in {run_dir} was started (images added, "
            "removed, replaced or renamed); put it back, or start anew with --overwrite"
        )


def split_data(settings: DataSettings, data: ImageDataset) -> tuple[ImageSplit, ImageSplit]:
    """Returns the images trained on and those held out for tuning: the user's own, or drawn.

    The files of a named set do not change, so there the images are drawn by position, which
    gives the same ones as in every version before.

    Raises:
        DataError: too few images.
    """
    by: SplitRule = "position" if is_named(settings.dataset) else settings.split_by
    if data.validation is not None:
        kept, held_out = data.train, _without_copies(data.validation, data.train, data.name)
    elif len(data.train) < 2:
        total = len(data.train) + len(data.test)
        raise DataError(
            f"{data.name} has {total} images; give at least 3: one to train on, one to hold out "
            "for tuning, one to test on"
        )
    else:
        kept, held_out = hold_out(
            data.train,
            fraction=held_out_part(settings, len(data.train)),
            seed=settings.split_seed,
            by=by,
            purpose="held out",
            least=1 if settings.held_out else min(NEEDED, len(data.train) // 2),
        )
    return _at_most(kept, settings.limit, by), held_out


def _at_most(split: ImageSplit, limit: int | None, by: SplitRule) -> ImageSplit:
    if limit is None or limit >= len(split):
        return split
    if by == "position":  # as every version has taken them
        return split.take(limit)
    return split.select(torch.tensor(spread(len(split), limit)))


def _without_copies(validation: ImageSplit, train: ImageSplit, name: str) -> ImageSplit:
    """Leaves out validation images that are trained on: p-values by these would be too small.

    Raises:
        DataError: none is left.
    """
    trained = torch.isin(content_keys(validation.images), content_keys(train.images))
    if trained.all():
        raise DataError(
            f"all {counted(len(validation), 'validation image')} of {name} are among those to "
            "train on; give others, or none"
        )
    return validation.select(~trained) if trained.any() else validation


def held_out_part(settings: DataSettings, count: int) -> float:
    """Returns the part of `count` training images to hold out: the user's, or a twelfth.

    Of fewer than 1,200 images it is more: enough for 100, but at most a fourth. Of fewer than about
    100 `split_data` holds out more again, as many as a rate of .05 needs, but at most half.
    """
    if settings.held_out is not None:
        return settings.held_out
    return min(max(USUAL_PART, WANTED / count), LARGEST_PART)


def describe_split(data: ImageDataset, kept: ImageSplit, held_out: ImageSplit) -> str:
    """Says in one line how many images are used for what, and how fine p-values will be."""
    channels, height, width = kept.image_shape
    kind = "grey" if channels == 1 else "colour"
    count = len(data.train.classes)
    classes = f", {counted(count, 'class', 'classes')}" if count else ""
    given = len(held_out) if data.validation is None else len(data.validation)
    copies = f" ({given - len(held_out):,} more are trained on)" if given > len(held_out) else ""
    finest = 1 / (len(calibration_part(held_out.images)) + 1)
    return (
        f"{data.name}: {counted(len(kept), 'image')} to train on, "
        f"{len(held_out):,} held out{copies}, {len(data.test):,} test; "
        f"{kind}, {width} x {height} pixels{classes}; "
        f"p-values from {typed_rate(finest)} up, the smallest rate of flags"
    )
