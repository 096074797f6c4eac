"""Options that several commands share, each written once."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from paecli.data.dataset_names import holds_images, is_named
from paecli.data.sets.named_sets import BUNDLED
from paecli.store.sources import REGISTRY_VARIABLE
from paecli.system.destination import STANDARD_OUTPUT
from paecli.system.errors import UsageError
from paecli.system.limits import LARGEST_SEED
from paecli.system.threads import parse_threads, use_threads

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg")


def _folder(out: Path) -> Path | None:
    """Refuses a name that was meant for one picture."""
    if out.suffix.lower() in PICTURE_ENDINGS and not out.is_dir():
        folder = out.with_suffix("")
        raise typer.BadParameter(
            f"{out} looks like one picture; give a folder for the files, such as {folder}"
        )
    return _no_file(out)


def _no_file(out: Path | None) -> Path | None:
    """Refuses a file in the place of a folder, before all is computed and cannot be written."""
    if out is not None and out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is a file; give a folder")
    return out


def refuse_useless(context: typer.Context, options: Sequence[str], reason: str) -> None:
    """Refuses options that would do nothing; those set in the environment may be meant for others.

    Args:
        context: of the command.
        options: names of its parameters.
        reason: what they need, as the end of a sentence.

    Raises:
        UsageError: names those that were typed.
    """
    typed = [
        f"--{name.rstrip('_').replace('_', '-')}"
        for name in options
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    ]
    if typed:
        raise UsageError(f"{', '.join(typed)} would do nothing here: {reason}")


def refuse_idle_data_dir(context: typer.Context, dataset: str) -> None:
    """Refuses `--data-dir` beside a set that is not looked for: a folder or list that is there.

    Args:
        context: of the command.
        dataset: what the user named.

    Raises:
        UsageError: it was typed.
    """
    if dataset in BUNDLED:
        refuse_useless(context, ("data_dir",), f"it is for other sets, {dataset} is bundled")
    elif not is_named(dataset) and holds_images(Path(dataset)):
        refuse_useless(context, ("data_dir",), f"{dataset} is there as it is called")


def output_file(text: str | Path) -> Path:
    """Reads the path of a file to write; `-` is standard output, `./-` a file of that name."""
    return STANDARD_OUTPUT if text == "-" else Path(text)


def one_on_standard_output(*files: Path | None, as_json: bool) -> None:
    """Refuses several outputs that would be mixed on standard output.

    Raises:
        UsageError: there are.
    """
    if files.count(STANDARD_OUTPUT) + as_json > 1:
        raise UsageError("standard output takes one output; give a file for the others")


def _use_registry(context: typer.Context, address: str | None) -> str | None:
    """Takes a registry for this command, as the variable does for a session."""
    if address is not None:
        before = os.environ.get(REGISTRY_VARIABLE)
        os.environ[REGISTRY_VARIABLE] = address
        context.call_on_close(lambda: _restore(REGISTRY_VARIABLE, before))
    return address


def _restore(variable: str, value: str | None) -> None:
    os.environ.pop(variable)
    if value is not None:
        os.environ[variable] = value


def _use_threads(text: str) -> str:
    """Takes the number of threads for the whole process."""
    try:
        use_threads(parse_threads(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return text


Model = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="A registry name (fmnist-32), a run folder (runs/fmnist) or a .safetensors file. "
        "Default: the bundled model.",
        show_default=False,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="A registry name, a run folder or a .safetensors file. Default: the bundled model.",
        show_default=False,
    ),
]


def one_model(argument: str | None, option: str | None) -> str | None:
    """Returns the model that was named, as an argument or by `--model`.

    Raises:
        UsageError: it was named twice.
    """
    if argument is not None and option is not None:
        raise UsageError(f"two models are named, {argument} and {option}; give one of them")
    return option if argument is None else argument


Json = Annotated[
    bool, typer.Option("--json", help="Print exactly one JSON object on standard output.")
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", envvar="PAE_DATA", help="Folder that holds the data sets.", show_default=False
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", help="Seed of everything random.", min=0, max=LARGEST_SEED)
]
Out = Annotated[
    Path,
    typer.Option("--out", "-o", callback=_folder, help="Folder for the files this writes."),
]
FileList = Annotated[
    Path | None,
    typer.Option(
        "--list",
        metavar="FILE",
        help="A table (CSV) of image files instead of a folder: a column of paths, relative to it, "
        "perhaps of labels and of splits.",
        show_default=False,
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        callback=_no_file,
        help="Also write a web page with pictures to this folder.",
        show_default=False,
    ),
]
RegistryAddress = Annotated[
    str | None,
    typer.Option(
        "--registry",
        envvar="PAE_REGISTRY",
        metavar="ADDRESS",
        help="A folder, https://, file://, doi: or hf://organisation/repository@revision. "
        "Default: the user's config file, then the bundled registry.",
        show_default=False,
    ),
]
ModelRegistry = Annotated[
    str | None,
    typer.Option(
        "--registry",
        metavar="ADDRESS",
        callback=_use_registry,
        help="Where a model's name is looked for; see `pae download`.",
        show_default=False,
    ),
]
Threads = Annotated[
    str,
    typer.Option(
        "--threads",
        envvar="PAE_THREADS",
        metavar="N|auto",
        callback=_use_threads,
        help="Processor threads. auto: as many as are fastest now, timed while it works; results "
        "are the same to the bit for the same number only.",
    ),
]
