"""What a run folder holds, finished and unfinished, and its settings; told without torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from paecli.data.dataset_names import absolute_name, is_named
from paecli.store.contents import read_table
from paecli.system.errors import CheckpointError, TrainingError, UsageError
from paecli.system.names import escape_name, is_utf8
from paecli.system.outputs import AUTOENCODER_FILE, CONFIG_FILE, MODEL_FILE, STATE_ENDING
from paecli.training.settings import (
    FlowSettings,
    RunSettings,
    as_recorded,
    check,
    merge,
    read_yaml,
    resolve,
    without_none,
)

AUTOENCODER_STAGE, FLOW_STAGE = "autoencoder", "flow"
RESULTS = {AUTOENCODER_STAGE: AUTOENCODER_FILE, FLOW_STAGE: MODEL_FILE}
DEVICES = ("auto", "cpu")
STATE_KEY = "pae-training-state"
DAMAGES = (CheckpointError, OSError, KeyError, TypeError, ValueError)


class CourseFields(BaseModel):
    """A course of `paecli.training.course`, checked."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    last: int = Field(ge=0)
    start: int = Field(ge=0)
    begun: float = Field(ge=0, le=1)
    seconds: float = Field(ge=0)
    ended: Literal["epochs", "minutes", "flat"]


class StateFields(BaseModel):
    """What the text in a training state holds, checked; infinite losses do occur."""

    model_config = ConfigDict(extra="forbid")

    settings: dict[str, Any]
    epoch: int = Field(ge=0)
    step: int = Field(ge=0)
    loss_sum: float
    seconds: float
    best_metric: float | None
    averaged_steps: int = Field(ge=0)
    history: list[dict[str, int | float]]
    threads: int | None = Field(None, ge=1)  # 0.1.0 did not record it
    content_hash: str | None = None  # nor this
    course: CourseFields | None = None  # None: steps of all epochs


def state_file(run_dir: Path, stage: str) -> Path:
    """Returns where the state of an unfinished stage is kept."""
    return run_dir / f"{stage}{STATE_ENDING}"


def read_state_fields(path: Path) -> StateFields:
    """Reads a training state without its tensors.

    Raises:
        TrainingError: the file is missing or damaged.
    """
    if not path.is_file():
        raise TrainingError(f"{path.parent} holds no interrupted run; start one without --resume")
    try:
        return StateFields.model_validate_json(read_table(path)["__metadata__"][STATE_KEY])
    except DAMAGES as error:
        raise TrainingError(f"{path} is damaged; start again with --overwrite") from error


def settings_of_interrupted_run(
    run_dir: Path, *, data_dir: Path | None = None, moved_to: str | None = None
) -> RunSettings:
    """Returns the settings an interrupted run of stage 1 was started with.

    Args:
        run_dir: the run folder.
        data_dir: where a folder is looked for that is not there as it is called.
        moved_to: the data set as it is called now. A folder may have another name than it had if
            the state tells its images, which are compared when they are read.

    Raises:
        TrainingError: nothing to resume.
    """
    path = state_file(run_dir, AUTOENCODER_STAGE)
    fields = read_state_fields(path)
    recorded = with_absolute_folder(check(as_recorded(fields.settings), where=str(path)), data_dir)
    before = recorded.autoencoder.data.dataset
    if moved_to is None or fields.content_hash is None or is_named(moved_to) or is_named(before):
        return recorded
    return _with_dataset(recorded, moved_to)


def with_absolute_folder(settings: RunSettings, data_dir: Path | None) -> RunSettings:
    """Returns settings that mean the same folder of images from every working directory.

    Raises:
        DataError: its path is not UTF-8.
    """
    return _with_dataset(settings, absolute_name(settings.autoencoder.data.dataset, data_dir))


def _with_dataset(settings: RunSettings, dataset: str) -> RunSettings:
    own = settings.autoencoder
    data = own.data.model_copy(update={"dataset": dataset})
    return settings.model_copy(update={"autoencoder": own.model_copy(update={"data": data})})


def settings_of_interrupted_flow(run_dir: Path) -> FlowSettings:
    """Returns the settings an interrupted flow run was started with.

    Raises:
        TrainingError: nothing to resume.
    """
    path = state_file(run_dir, FLOW_STAGE)
    return check({"flow": read_state_fields(path).settings}, where=str(path)).flow


def resolve_flow_settings(
    run_dir: Path, *, preset: str | None, file: Path | None, flags: Mapping[str, Any]
) -> FlowSettings:
    """Merges the run's own settings, a preset or a file, and flags.

    Raises:
        ConfigError: as `config.resolve`.
    """
    own = run_dir / CONFIG_FILE
    if preset is None and own.is_file():
        started = resolve(preset=None, file=own, flags={})
        settings = merge(started.model_dump(), read_yaml(file) if file else {})
        settings = merge(settings, {"flow": without_none(flags)})
        return check(settings, where=str(file or own), flags={"flow": flags}).flow
    return resolve(preset=preset, file=file, flags={"flow": flags}).flow


def require_trained_autoencoder(run_dir: Path) -> Path:
    """Returns the file of stage 1.

    Raises:
        CheckpointError: there is none.
    """
    path = run_dir / AUTOENCODER_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{run_dir} holds no trained autoencoder; "
            f"start with `pae train-ae DATASET --out {run_dir}`"
        )
    return path


def require_trained_flow(run_dir: Path) -> Path:
    """Returns the file of both stages.

    Raises:
        CheckpointError: there is none.
    """
    path = run_dir / MODEL_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{run_dir} holds no trained flow; train it with `pae train-flow {run_dir}`"
        )
    return path


def require_device(device: str) -> None:
    """Refuses a device that is neither `auto` nor `cpu`.

    Raises:
        UsageError: names it.
    """
    if device not in DEVICES:
        raise UsageError(f"--device {device!r} is not known; choose auto or cpu")


def refuse_other_run(run_dir: Path, stage: str, *, resume: bool, overwrite: bool) -> None:
    """Keeps old runs from being destroyed.

    Raises:
        UsageError: both `resume` and `overwrite`, or a name that is not UTF-8.
        TrainingError: the folder holds a run of this stage, finished or not, and neither
            `resume` nor `overwrite` was asked for; or there is nothing to resume.
    """
    if not is_utf8(run_dir):  # what reads tensors takes no such path
        raise UsageError(
            f"the name of the run folder {escape_name(run_dir)} is not UTF-8, so its model could "
            "not be read again; choose another"
        )
    if resume and overwrite:
        raise UsageError(
            "--resume goes on with a run and --overwrite replaces it; give one of them"
        )
    unfinished, result = state_file(run_dir, stage), run_dir / RESULTS[stage]
    if resume:
        read_state_fields(unfinished)
    elif unfinished.exists() and not overwrite:
        raise TrainingError(
            f"{run_dir} holds an unfinished {stage} run; add --resume to go on with it, "
            "or --overwrite to start again"
        )
    elif result.exists() and not overwrite:
        raise TrainingError(
            f"{result} is already trained; choose another folder or add --overwrite to replace it"
        )
