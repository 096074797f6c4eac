"""`pae train-flow`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paecli.cli import training_options as options
from paecli.cli.console import RichProgress, print_json, say
from paecli.cli.options import DataDir, FileList, Json, Threads, refuse_useless
from paecli.system.errors import UsageError

if TYPE_CHECKING:
    from paecli.store.header import Header

TRAINING_OPTIONS = (
    "preset", "config", "flow", "blocks", "latent_noise", "from_scratch", "epochs", "minutes",
    "batch_size", "learning_rate", "optimiser", "precision", "resume", "overwrite", "seed",
    "device", "log",
)  # fmt: skip


def train_flow(
    context: typer.Context,
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A run folder that `pae train-ae` wrote.")
    ],
    preset: options.Preset = None,
    config: options.Config = None,
    flow: Annotated[
        str | None,
        typer.Option(
            help="nsf (splines), realnvp (the paper's), glow or hybrid.", show_default="preset"
        ),
    ] = None,
    blocks: Annotated[
        int | None, typer.Option(help="Coupling blocks.", min=1, show_default="preset")
    ] = None,
    latent_noise: Annotated[
        float | None,
        typer.Option(
            help="Noise added to whitened latents while training.", min=0, show_default="preset"
        ),
    ] = None,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch",
            help="After `--loss flow-vae`: start a new flow, not from the one trained along.",
        ),
    ] = False,
    epochs: options.Epochs = None,
    minutes: options.Minutes = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    optimiser: options.Method = None,
    precision: options.Precision = None,
    file_list: FileList = None,
    data_dir: DataDir = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    measure_only: Annotated[
        bool,
        typer.Option(
            "--measure-only",
            help="Train nothing: measure again what the model stores about reference images. "
            "For models of an older version.",
        ),
    ] = False,
    seed: options.Seed = None,
    device: options.Device = "auto",
    log: options.Log = "csv",
    threads: Threads = "auto",
    json: Json = False,
) -> None:
    """Trains a flow (stage 2) on the latents of a trained autoencoder.

    It writes `model.safetensors`, the whole model, into the same run folder.

    Examples:

        pae train-flow runs/fmnist

        pae train-flow runs/fmnist --flow realnvp --blocks 18

        pae train-flow runs/fmnist --resume
    """
    if file_list:
        from paecli.cli.checks import check_list

        refuse_useless(context, ("data_dir",), "--list says where the images are")
        check_list(file_list)
        data_dir = file_list  # where the images of the training are by now
    patches = _holds_patches(model)
    if measure_only:
        refuse_useless(context, TRAINING_OPTIONS, "--measure-only trains nothing")
        _measure(model, data_dir, patches=patches, as_json=json)
        return
    from paecli.cli.checks import check_training_set
    from paecli.store.contents import read_header
    from paecli.training.run_folder import (
        FLOW_STAGE,
        refuse_other_run,
        require_device,
        require_trained_autoencoder,
        resolve_flow_settings,
        settings_of_interrupted_flow,
    )
    from paecli.training.settings import read_yaml, requested

    if config and not read_yaml(config).get("flow"):
        reason = f"{config} has no section `flow:`, and stage 1 is trained"
        refuse_useless(context, ("config",), reason)
    header = read_header(require_trained_autoencoder(model))
    if _loss_of(header) != "flow-vae":
        refuse_useless(context, ("from_scratch",), "no flow was trained along with stage 1")
    flags = {
        "flow": flow,
        "blocks": blocks,
        "latent_noise": latent_noise,
        "warm_start": False if from_scratch else None,
        "optimiser": options.optimiser_flags(
            epochs=epochs,
            minutes=minutes,
            batch_size=batch_size,
            optimiser=optimiser,
            learning_rate=learning_rate,
            precision=precision,
        ),
        "seed": seed,
    }
    if resume:
        settings = settings_of_interrupted_flow(model)
        asked = requested(preset=preset, file=config, flags={"flow": flags}).get("flow", {})
        options.refuse_other_settings(settings, asked, run_dir=model, stage=FLOW_STAGE)
    else:
        settings = resolve_flow_settings(model, preset=preset, file=config, flags=flags)
    require_device(device)
    refuse_other_run(model, FLOW_STAGE, resume=resume, overwrite=overwrite)
    if patches:
        if settings.optimiser.minutes:
            raise UsageError("--minutes is not for patches, whose flows are many; give --epochs")
        from paecli.training.patches.jobs import train_patch_flow

        report = train_patch_flow(
            settings,
            run_dir=model,
            data_dir=data_dir,
            resume=resume,
            overwrite=overwrite,
            device=device,
            log=log,
            progress=RichProgress(),
        )
        following = f"pae ood {model} IMAGES --maps maps/"
        options.show_training_report(report, next_command=following, as_json=json)
        return
    check_training_set(header, data_dir=data_dir)
    from paecli.train import train_flow

    report = train_flow(
        settings,
        run_dir=model,
        data_dir=data_dir,
        resume=resume,
        overwrite=overwrite,
        device=device,
        log=log,
        progress=RichProgress(),
    )
    options.show_training_report(report, next_command=f"pae eval {model}", as_json=json)


def _loss_of(header: "Header") -> object:
    """Returns the loss that stage 1 was trained by, None where the file does not say."""
    return ((header.config.get("autoencoder") or {}).get("objective") or {}).get("loss")


def _holds_patches(run_dir: Path) -> bool:
    """Tells whether a run folder holds a model of patches; no if it holds none."""
    from paecli.store.contents import read_header
    from paecli.system.outputs import AUTOENCODER_FILE

    file = run_dir / AUTOENCODER_FILE
    return file.is_file() and read_header(file).patches is not None


def _measure(run_dir: Path, data_dir: Path | None, *, patches: bool, as_json: bool) -> None:
    from paecli.cli.checks import check_training_set
    from paecli.store.contents import read_header
    from paecli.training.run_folder import require_trained_flow

    header = read_header(require_trained_flow(run_dir))
    if patches:
        from paecli.training.patches.jobs import measure_patches_again

        path = measure_patches_again(run_dir, data_dir=data_dir, progress=RichProgress())
    else:
        check_training_set(header, data_dir=data_dir)
        from paecli.train import measure_again

        path = measure_again(run_dir, data_dir=data_dir, progress=RichProgress())
    say(f"measured held-out images again: {path}")
    if as_json:
        print_json({"model_file": str(path)})
