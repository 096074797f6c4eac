"""What both training jobs share: the run folder, resuming, and the report."""

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from accelerate import Accelerator
from torch import Tensor

from paecli.model.model import Model
from paecli.system.errors import TrainingError
from paecli.system.heap import keep_freed_memory
from paecli.system.locks import locked_folder
from paecli.system.outputs import CONFIG_FILE as CONFIG_FILE
from paecli.system.progress import NullProgress, Progress
from paecli.training.history import History, Log
from paecli.training.loop import LoopResult, Stage, TrainingLoop, choose_bfloat16
from paecli.training.run_folder import refuse_other_run, require_device, state_file
from paecli.training.settings import OptimiserSettings
from paecli.training.state import TrainingState


class Measure(Protocol):
    """Sets in a trained model what later jobs compare with; see `paecli.train`."""

    def __call__(
        self, model: Model, *, training: Tensor, held_out: Tensor, latents: Tensor | None = None
    ) -> None:
        """Takes images `(n, c, h, w)`: those trained on, and others that no stage has seen.

        `latents` are those of the training images, where they are known.
        """


@dataclass(frozen=True)
class TrainingReport:
    """What a training job did.

    Attributes:
        run_dir: the run folder.
        stage: `autoencoder` or `flow`.
        epochs: epochs trained, over all sessions of the run.
        seconds: time spent in training steps.
        images_per_second: throughput over the whole run.
        metrics: measured at the end, by name.
        history: one row an epoch.
        is_main_process: whether this process of several is the one that writes and prints.
        ended: why training ended where it did: `epochs`, `minutes`, or `flat` held-out errors.
        example_kind: what passed: `images` or `latents`.
    """

    run_dir: Path
    stage: str
    epochs: int
    seconds: float
    images_per_second: float
    metrics: dict[str, float]
    history: list[dict[str, float]]
    is_main_process: bool = True
    ended: str = "epochs"
    example_kind: str = "images"

    @classmethod
    def of(
        cls,
        loop: LoopResult,
        *,
        run_dir: Path,
        stage: str,
        metrics: dict[str, float],
        accelerator: Accelerator,
    ) -> "TrainingReport":
        """Joins what the loop did with what was measured afterwards."""
        return cls(
            run_dir=run_dir,
            stage=stage,
            epochs=loop.epochs,
            seconds=loop.seconds,
            images_per_second=loop.examples_per_second,
            example_kind=loop.example_kind,
            metrics=metrics,
            history=loop.history,
            is_main_process=accelerator.is_main_process,
            ended=loop.ended,
        )

    def as_json(self) -> dict[str, Any]:
        """Returns what `--json` prints."""
        return {
            "run_dir": str(self.run_dir),
            "stage": self.stage,
            "epochs": self.epochs,
            "seconds": round(self.seconds, 3),
            "images_per_second": round(self.images_per_second, 1),
            "ended": self.ended,
            "threads": self.history[-1].get("threads") if self.history else None,
            "metrics": self.metrics,
        }


def begin(run_dir: Path, stage: str, *, resume: bool, overwrite: bool) -> TrainingState | None:
    """Returns the state to resume from, if asked to, and keeps old runs from being destroyed.

    Raises:
        TrainingError: as `refuse_other_run`, or the state is damaged.
    """
    refuse_other_run(run_dir, stage, resume=resume, overwrite=overwrite)
    return TrainingState.load(state_file(run_dir, stage)) if resume else None


def run_loop(
    stage: Stage,
    *,
    name: str,
    run_dir: Path,
    settings: OptimiserSettings,
    seed: int,
    described: dict[str, Any],
    content_hash: str,
    accelerator: Accelerator,
    resumed: TrainingState | None,
    log: Log,
    progress: Progress,
) -> LoopResult:
    """Runs the loop for a stage and writes its history, epoch by epoch.

    Raises:
        TrainingError: as `TrainingLoop.run`.
    """
    if not accelerator.is_main_process:
        progress = NullProgress()
    keep_freed_memory()
    loop = TrainingLoop(
        stage,
        name=name,
        settings=settings,
        seed=seed,
        state_file=state_file(run_dir, name),
        described=described,
        content_hash=content_hash,
        accelerator=accelerator,
        use_bfloat16=choose_bfloat16(settings.precision, accelerator.device),
        progress=progress,
    )
    if resumed is not None:
        loop.restore(resumed)
        of_all = "" if settings.minutes else f" of {settings.last_epoch}"
        progress.say(f"going on after epoch {resumed.epoch}{of_all}")
    if not accelerator.is_main_process:
        return loop.run()
    history = History(run_dir, name, log)
    try:
        return loop.run(after_epoch=history.write)
    finally:
        history.close()


@contextmanager
def only_training(run_dir: Path, accelerator: Accelerator) -> Iterator[None]:
    """Keeps other trainings out of a run folder until the block ends or the process dies.

    Raises:
        TrainingError: another process trains into it.
        WriteError: the folder cannot be written.
    """
    if not accelerator.is_main_process:  # one lock for all processes of a training
        yield
        return
    with locked_folder(run_dir) as free:
        if not free:
            raise TrainingError(
                f"another pae is training into {run_dir}; wait for it, or choose another folder"
            )
        yield


def on_main_process(accelerator: Accelerator, write: Callable[[], None]) -> None:
    """Lets only one process write, and the others wait for it."""
    if accelerator.is_main_process:
        write()
    accelerator.wait_for_everyone()


def open_accelerator(device: str) -> Accelerator:
    """Returns accelerate's view of devices and processes.

    Args:
        device: `auto` (a GPU if there is one) or `cpu`.
    """
    require_device(device)
    return Accelerator(cpu=device == "cpu")


def library_versions() -> dict[str, str]:
    """Returns the versions of what a result depends on."""
    names = ("paecli", "torch", "torchvision", "FrEIA", "numpy")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in names}
