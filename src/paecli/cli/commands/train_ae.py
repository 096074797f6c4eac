"""`pae train-ae`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from paecli.cli import training_options as options
from paecli.cli.console import RichProgress, print_json, print_table
from paecli.cli.options import (
    DataDir,
    FileList,
    Json,
    Threads,
    refuse_idle_data_dir,
    refuse_useless,
)
from paecli.data.images.lists import is_list
from paecli.data.sets.locations import require_dataset
from paecli.system.errors import UsageError


def train_ae(
    context: typer.Context,
    dataset: Annotated[
        str | None,
        typer.Argument(
            metavar="DATASET",
            help="A data set (fmnist, mnist, kmnist, cifar10, celeba, omniglot, "
            "fmnist-mini, mnist-mini) or a folder of images.",
            show_default=False,
        ),
    ] = None,
    file_list: FileList = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="Folders: learn patches of these instead of whole images, to find defects: photo "
            "(a network trained on photographs; needs the extra `photo`), pixels, or none.",
            show_default="none",
        ),
    ] = None,
    preset: options.Preset = None,
    config: options.Config = None,
    latent_size: Annotated[
        int | None,
        typer.Option(
            help="Length of a latent vector; a folder's preset finds it in the images.",
            min=1,
            show_default="preset",
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="ae, vae, beta-vae or flow-vae (trains the flow along).", show_default="preset"
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(help="infogan (the paper's), conv, resnet or mlp.", show_default="preset"),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            help="Random changes, e.g. shift:1,hflip:0.5; others are rotate:10, brightness:0.2, "
            "noise:0.05. `none` switches them off.",
            show_default="preset",
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            help="Folders: pixels a side; with --features, of a square of the same area.",
            min=1,
            show_default=False,
        ),
    ] = None,
    channels: Annotated[
        int | None, typer.Option(help="Folders: 1 (grey) or 3 (RGB).", show_default=False)
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Train on so many images only.", min=1, show_default=False)
    ] = None,
    epochs: options.Epochs = None,
    minutes: options.Minutes = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    optimiser: options.Method = None,
    precision: options.Precision = None,
    data_dir: DataDir = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder.", show_default="runs/DATASET")
    ] = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    seed: options.Seed = None,
    device: options.Device = "auto",
    log: options.Log = "csv",
    threads: Threads = "auto",
    json: Json = False,
    list_presets: Annotated[
        bool,
        typer.Option("--list-presets", help="Show the presets and exit."),
    ] = False,
) -> None:
    """Trains an autoencoder (stage 1) and writes a run folder.

    Examples:

        pae train-ae fmnist

        pae train-ae mnist --latent-size 8 --epochs 20

        pae train-ae fmnist --loss flow-vae --out runs/flow-vae

        pae train-ae holiday-photos/ --image-size 64 --out runs/photos

        pae train-ae holiday-photos/ --image-size 64 --minutes 10

        pae train-ae --list photos.csv --image-size 64

        pae train-ae tiles/ --features photo

        pae train-ae fmnist --resume
    """
    if list_presets:
        return _list_presets(json)
    from paecli.cli.checks import check_folder
    from paecli.data.dataset_names import absolute_name
    from paecli.training.run_folder import (
        AUTOENCODER_STAGE,
        refuse_other_run,
        require_device,
        settings_of_interrupted_run,
    )
    from paecli.training.settings import PATCHES, requested, resolve

    dataset = _one_data_set(dataset, file_list)
    if not resume:
        refuse_idle_data_dir(context, dataset)
    dataset = absolute_name(dataset, data_dir)
    name = Path(dataset).name if Path(dataset).is_dir() else dataset
    name = Path(dataset).stem if is_list(Path(dataset)) else name
    run_dir = out or Path("runs") / name
    flags: dict[str, dict[str, Any]] = {
        "autoencoder": {
            "data": {
                "dataset": dataset,
                "image_size": image_size,
                "channels": channels,
                "limit": limit,
            },
            "features": features,
            "network": network,
            "latent_size": latent_size,
            "objective": {"loss": loss},
            "augment": parse_augment(augment),
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
    }
    if features not in (None, "none"):
        preset = preset or PATCHES
    if resume:
        require_dataset(dataset)
        settings = settings_of_interrupted_run(run_dir, data_dir=data_dir, moved_to=dataset)
        asked = requested(preset=preset, file=config, flags=flags)
        options.refuse_other_settings(settings, asked, run_dir=run_dir, stage=AUTOENCODER_STAGE)
    else:
        settings = resolve(preset=preset, file=config, flags=flags, fallback=name)
    require_device(device)
    require_dataset(settings.autoencoder.data.dataset)
    refuse_other_run(run_dir, AUTOENCODER_STAGE, resume=resume, overwrite=overwrite)
    check_folder(settings.autoencoder.data.dataset, leave_out=run_dir)
    if settings.autoencoder.features != "none":
        refuse_options_of_images(flags["autoencoder"], channels=channels)
        refuse_useless(context, ("device", "log"), "principal components need one pass")
        from paecli.training.patches.jobs import train_patch_autoencoder

        report = train_patch_autoencoder(
            settings, run_dir=run_dir, overwrite=overwrite, progress=RichProgress()
        )
        following = f"pae train-flow {run_dir}"
        return options.show_training_report(report, next_command=following, as_json=json)
    from paecli.train import train_autoencoder

    report = train_autoencoder(
        settings,
        run_dir=run_dir,
        data_dir=data_dir,
        resume=resume,
        overwrite=overwrite,
        device=device,
        log=log,
        progress=RichProgress(),
    )
    whole = settings.autoencoder.objective.loss == "flow-vae"  # its flow is trained already
    following = f"pae {'eval' if whole else 'train-flow'} {run_dir}"
    return options.show_training_report(report, next_command=following, as_json=json)


def _list_presets(as_json: bool) -> None:
    from paecli.training.settings import preset_names, read_preset

    presets = {name: read_preset(name).get("description", "") for name in preset_names()}
    if as_json:
        return print_json({"presets": presets})
    return print_table("Presets", ("name", "what for"), list(presets.items()), words=True)


def _one_data_set(dataset: str | None, file_list: Path | None) -> str:
    if (dataset is None) == (file_list is None):
        raise UsageError("give a data set, a folder of images, or --list FILE, and one of them")
    if file_list is None:
        return str(dataset)
    from paecli.cli.checks import check_list

    check_list(file_list)
    return str(file_list)


AUGMENT_NAMES = {
    "shift": "shift",
    "hflip": "horizontal_flip",
    "rotate": "rotation",
    "brightness": "brightness",
    "noise": "noise",
}


def refuse_options_of_images(flags: Mapping[str, Any], *, channels: int | None) -> None:
    """Refuses options that mean nothing for patches, whose stage 1 is principal components.

    Raises:
        UsageError: names the first that was given.
    """
    given = {
        "network": flags["network"],
        "loss": flags["objective"]["loss"],
        "augment": flags["augment"],
        "channels": channels,
        "seed": flags["seed"],
        **flags["optimiser"],
    }
    for name, value in given.items():
        if value not in (None, {}):
            option = "--" + ("optimiser" if name == "method" else name.replace("_", "-"))
            raise UsageError(f"{option} has no meaning with --features; drop it")


def parse_augment(text: str | None) -> dict[str, float]:
    """Reads `shift:1,hflip:0.5` into settings; `none` switches everything off.

    Raises:
        UsageError: a name or number that is not understood.
    """
    if text is None:
        return {}
    values: dict[str, float] = dict.fromkeys(AUGMENT_NAMES.values(), 0)
    if text == "none":
        return values
    for part in text.split(","):
        name, _, number = part.strip().partition(":")
        try:
            value = float(number)
            values[AUGMENT_NAMES[name]] = int(value) if value.is_integer() else value
        except (KeyError, ValueError) as error:
            raise UsageError(
                f"--augment: cannot read {part!r}; write NAME:NUMBER with a name of "
                f"{', '.join(AUGMENT_NAMES)}"
            ) from error
    return values
