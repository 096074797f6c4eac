"""`pae demo`: the main job end to end, in minutes, without downloading anything."""

from pathlib import Path
from typing import Annotated

import typer

from paecli.cli.console import RichProgress, print_json, say
from paecli.cli.options import Json, Out, Threads
from paecli.system.errors import UsageError


def demo(
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            show_default=False,
            help="Show this model of Fashion-MNIST instead of training one: a registry name, a "
            "run folder or a .safetensors file.",
        ),
    ] = None,
    out: Out = Path("demo"),
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="YAML file with changes to the recipe.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    threads: Threads = "auto",
    json: Json = False,
) -> None:
    """Trains a small model on bundled images, uses it for everything, and shows it on a web page.

    It takes a few minutes, and nothing is downloaded. The page tells what was measured.

    Examples:

        pae demo

        pae demo --model fmnist-32 --out tour
    """
    from paecli.cli.checks import check_model
    from paecli.cli.outputs import OutputFolder
    from paecli.training.settings import DEMO_PRESET, resolve

    if model is not None and config is not None:
        raise UsageError("--config would do nothing here: with --model nothing is trained")
    settings = resolve(preset=DEMO_PRESET, file=config, flags={})
    if model is not None:
        check_model(model)
    else:
        _refuse_other_model(out / "model", settings.autoencoder.data.dataset)
    OutputFolder(out, ["report.html", "overview.png"]).announce()
    _refuse_other_images(out)
    from paecli.demo import run_demo
    from paecli.report.demo_page import write_demo

    report = run_demo(settings, out, model_name=model, progress=RichProgress())
    page = write_demo(report, out)
    if json:
        print_json(report.as_json() | {"report_file": str(page)})
        return
    total = sum(report.seconds.values())
    say(f"done in {total:.0f} s; open {page.resolve().as_uri()} in a browser")
    say("next: pae train-ae fmnist (all of Fashion-MNIST), or pae train-ae FOLDER (your images)")


def _refuse_other_images(out: Path) -> None:
    """Keeps the demo from writing among images that are not its own, and scoring them.

    Raises:
        UsageError: a folder of the demo's names is there, but no demo was made.
    """
    made_before = any((out / name).exists() for name in ("report.html", "model"))
    for name in ("inbox", "damaged"):
        if not made_before and (out / name).exists():
            raise UsageError(f"{out / name} is not of an earlier demo; choose another --out")


def _refuse_other_model(run: Path, dataset: str) -> None:
    """Keeps the demo, which trains anew each time, from replacing a model that is not its own.

    Raises:
        UsageError: there is one of another data set.
    """
    from paecli.store.contents import read_contents
    from paecli.system.outputs import AUTOENCODER_FILE

    file = run / AUTOENCODER_FILE
    if file.is_file() and (name := read_contents(file).header.training_set) != dataset:
        raise UsageError(f"{run} holds a model of {name or 'other images'}; choose another --out")
