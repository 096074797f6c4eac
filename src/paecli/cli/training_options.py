"""Options that `train-ae` and `train-flow` share, and what they do with the outcome."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from paecli.cli.console import print_json, say
from paecli.system.errors import TrainingError, UsageError
from paecli.system.limits import LARGEST_SEED
from paecli.system.names import counted

if TYPE_CHECKING:
    from pydantic import BaseModel

    from paecli.training.run import TrainingReport


def _tuning(name: str, text: str, *, least: float | None = None) -> Any:
    return typer.Option(
        name, help=text, min=least, show_default="preset", rich_help_panel="Training"
    )


LogName = Literal["csv", "tensorboard"]


def _checked_log(log: LogName) -> LogName:
    from paecli.training.history import require_log

    require_log(log)
    return log


Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="A named recipe; `pae train-ae --list-presets` shows them.",
        show_default="the data set's own",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="YAML file with `autoencoder:` and `flow:` sections.",
        exists=True,
        dir_okay=False,
        show_default=False,
    ),
]
Epochs = Annotated[int | None, _tuning("--epochs", "Passes over the training data.", least=1)]
Minutes = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        help="Train for so many minutes instead of --epochs, fewer when the held-out error is "
        "flat; the learning rate follows the clock.",
        min=0.01,
        show_default=False,
        rich_help_panel="Training",
    ),
]
BatchSize = Annotated[int | None, _tuning("--batch-size", "Examples per step.", least=1)]
LearningRate = Annotated[float | None, _tuning("--learning-rate", "Largest step size.", least=0)]
Method = Annotated[str | None, _tuning("--optimiser", "adamw, or muon (for matrices and filters).")]
Precision = Annotated[
    str | None, _tuning("--precision", "fp32, bf16 or auto (bf16 where it is fast).")
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        help="Seed of everything random.",
        min=0,
        max=LARGEST_SEED,
        show_default="preset",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what the run folder already holds.")
]
Log = Annotated[
    LogName,
    typer.Option(
        "--log",
        callback=_checked_log,
        help="csv (always: RUN/STAGE-history.csv grows by a row an epoch) or tensorboard "
        "(beside it; needs the extra `tensorboard`).",
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto (a GPU if there is one) or cpu.")]


AUTO = "auto"  # the run has chosen by now


def show_training_report(report: "TrainingReport", *, next_command: str, as_json: bool) -> None:
    """Plots the history and prints what a training job did, and what to type next."""
    if not report.is_main_process:
        return
    if report.history:
        from paecli.report.plots import training_curves

        picture = report.run_dir / f"{report.stage}-loss.png"
        training_curves(report.history, picture, title=f"{report.run_dir.name}: {report.stage}")
    if as_json:
        print_json(report.as_json())
        return
    measured = ", ".join(f"{name} {value:.5g}" for name, value in report.metrics.items())
    flat = ", ended when the held-out error was flat" if report.ended == "flat" else ""
    say(
        f"{counted(report.epochs, 'epoch')} in {report.seconds:.0f} s{flat} "
        f"({report.images_per_second:.0f} {report.example_kind}/s): {measured}"
    )
    say(f"written to {report.run_dir}; next: {next_command}")


def optimiser_flags(
    *,
    epochs: int | None,
    minutes: float | None,
    batch_size: int | None,
    optimiser: str | None,
    learning_rate: float | None,
    precision: str | None,
) -> dict[str, Any]:
    """Returns the options of the panel "Training" as settings; None where not given.

    Raises:
        UsageError: both `epochs` and `minutes`.
    """
    if epochs is not None and minutes is not None:
        raise UsageError("--epochs and --minutes both say when to stop; give one of them")
    return {
        "epochs": epochs,
        # who asks for epochs gets them all, whatever a preset or file says
        "minutes": minutes if epochs is None else 0,
        "patience": None if epochs is None else 0,
        "batch_size": batch_size,
        "method": optimiser,
        "learning_rate": learning_rate,
        "precision": precision,
    }


def refuse_other_settings(
    started: "BaseModel", flags: Mapping[str, Any], *, run_dir: Path, stage: str
) -> None:
    """Keeps `--resume` from going on with other settings than the run was started with.

    Raises:
        TrainingError: names the first option that differs.
    """
    changed = difference(started.model_dump(mode="json"), flags)
    if changed:
        raise TrainingError(
            f"the {stage} run in {run_dir} cannot go on with another {changed}; "
            "drop the option, or start anew with --overwrite"
        )


def difference(
    started: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = ""
) -> str | None:
    """Names the first setting in which two runs differ, as `key (was, now)`; None if none does."""
    for key, value in wanted.items():
        before = started.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            inner = difference(before, value, f"{prefix}{key}.")
            if inner:
                return inner
        elif value not in (None, AUTO, before):
            return f"{prefix}{key} (started with {before}, now {value})"
    return None
