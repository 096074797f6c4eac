"""Registers the commands and maps errors to one line and an exit code."""

import os
import sys
from typing import Annotated

import typer

from paecli import __version__
from paecli.cli.commands import (
    demo,
    denoise,
    doctor,
    download,
    eval,
    info,
    inpaint,
    interpolate,
    ood,
    publish,
    sample,
    train_ae,
    train_flow,
)
from paecli.cli.console import say
from paecli.system.errors import PaeError

app = typer.Typer(
    name="pae",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train-ae")(train_ae.train_ae)
app.command("train-flow")(train_flow.train_flow)
app.command("eval")(eval.evaluate)
app.command("ood")(ood.ood)
app.command("inpaint")(inpaint.inpaint)
app.command("denoise")(denoise.denoise)
app.command("sample")(sample.sample)
app.command("interpolate")(interpolate.interpolate)
app.command("download")(download.download)
app.command("publish")(publish.publish)
app.command("info")(info.info)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)

DEBUG = "PAE_DEBUG"  # set by --debug; read where errors are caught
INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pae {__version__}")
        raise typer.Exit


@app.callback()
def pae(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """A generative model of your own images.

    It also tells what is unusual in them and restores what is damaged, with honest uncertainty.

    First steps: `pae demo`, then `pae train-ae DATASET` and `pae train-flow runs/DATASET`.
    """
    del version
    if debug:
        os.environ[DEBUG] = "1"


def main() -> None:
    """Runs the command line; ends the process with the exit code."""
    try:
        app()
    except PaeError as error:
        if os.environ.get(DEBUG):
            raise
        say(f"Error: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("Interrupted.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # the reader of our output went away (`pae ... | head`); nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (OSError, MemoryError, RuntimeError) as error:
        message = _limit_of_the_machine(error)
        if message is None or os.environ.get(DEBUG):
            raise
        say(f"Error: {message}")
        sys.exit(1)


def _limit_of_the_machine(error: Exception) -> str | None:
    """Says what the system refused: a path it does not take, or memory; None for other errors."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"cannot use {error.filename!s:.200}: {error.strerror}; choose another path"
    # torch raises a bare RuntimeError on CPUs
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return "not enough memory; ask for fewer or smaller images, or a smaller --batch-size"
    return None
