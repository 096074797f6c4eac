"""Names the commands, loads the one that is called, maps errors to one line and an exit code."""

import errno
import math
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_from_info

from paecli import __version__
from paecli.cli.console import complain, set_verbosity
from paecli.cli.standard_output import (
    drop_standard_output,
    hold_standard_streams,
    write_standard_output,
)
from paecli.system.errors import PaeError, UsageError
from paecli.system.folders import CACHE_VARIABLE, cache_folder, cache_is_temporary
from paecli.system.limits import LARGEST_INTEGER

MAY_BE_EMPTY = ("--description", "--licence", "--name")
ANYWHERE = ("--quiet", "-q", "--verbose", "-v", "--debug")  # before the command or after it


# As `pae --help` groups them, each with its function; `train-ae` is in `commands/train_ae.py`.
# Only the one that is called is imported: all of them take longer than a mistake may.
COMMANDS = {
    "First steps": {"samples": "samples", "demo": "demo"},
    "Train a model of your images": {
        "train-ae": "train_ae",
        "train-flow": "train_flow",
        "eval": "evaluate",
    },
    "Use a model": {
        "ood": "ood",
        "inpaint": "inpaint",
        "denoise": "denoise",
        "sample": "sample",
        "interpolate": "interpolate",
    },
    "Where you work": {
        "serve": "serve",
        "watch": "watch",
        "recalibrate": "recalibrate",
        "export": "export",
    },
    "Around it": {
        "info": "info",
        "download": "download",
        "publish": "publish",
        "fid": "fid",
        "doctor": "doctor",
    },
}
PANELS = {name: panel for panel, commands in COMMANDS.items() for name in commands}
MARKUP: Final = "markdown"


class Commands(TyperGroup):
    """All commands.

    They take `~` where shells leave it, as in `--out=~/x`, and the options of `pae` itself at any
    place, as in `pae ood incoming/ --quiet`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the command line."""
        _refuse_empty(args)
        end = args.index("--") if "--" in args else len(args)
        own = [argument for argument in args[:end] if argument in ANYWHERE]
        rest = [argument for argument in args[:end] if argument not in ANYWHERE]
        return super().parse_args(
            ctx, [*own, *(_with_home(argument) for argument in rest), *args[end:]]
        )

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the names of all commands."""
        del ctx
        return list(PANELS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Returns a command, loaded when it is first asked for; None if there is none."""
        # where there is none, similar names are suggested from those that are loaded
        for name in [cmd_name] if cmd_name in PANELS else PANELS:
            if name not in self.commands:
                self.commands[name] = load_command(name)
        return super().get_command(ctx, cmd_name)


class Command(TyperCommand):
    """A command whose numbers are finite, and no larger than libraries can hold."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the options; ranges let NaN through, which is neither below nor above a bound."""
        rest = super().parse_args(ctx, args)
        for parameter in self.params:
            _refuse_odd_number(max(parameter.opts, key=len), ctx.params.get(parameter.name))
        return rest


def load_command(name: str) -> Any:
    """Imports the module of a command and reads its options."""
    module = import_module(f"paecli.cli.commands.{name.replace('-', '_')}")
    panel = PANELS[name]
    single = typer.Typer()
    single.command(name, cls=Command, rich_help_panel=panel)(getattr(module, COMMANDS[panel][name]))
    return get_command_from_info(
        single.registered_commands[0], pretty_exceptions_short=False, rich_markup_mode=MARKUP
    )


def _refuse_odd_number(option: str, value: object) -> None:
    """Refuses what no option of numbers can mean.

    Raises:
        UsageError: NaN, infinity, or a whole number of more than 64 bits.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{option} is {value}; give a finite number")
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        digits = len(str(abs(value)))
        raise UsageError(f"{option} has {digits} digits; give at most {LARGEST_INTEGER:,}")


def _refuse_empty(arguments: list[str]) -> None:
    """Refuses an empty argument, which would be the working folder where a path is wanted.

    It mostly comes from a variable of a shell that is not set. Options of words may be empty.

    Raises:
        UsageError: names what is empty.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, is_option, value = argument.partition("=")
        if argument == "":
            empty = before
        elif is_option and not value and option.startswith("--"):
            empty = option
        else:
            continue
        if empty not in MAY_BE_EMPTY:
            what = empty if empty.startswith("-") else "an argument"
            raise UsageError(f"{what} is empty; is a variable of the shell not set?")


def _with_home(argument: str) -> str:
    option, is_option, value = argument.partition("=")
    if not (is_option and option.startswith("-") and value.startswith("~")):
        return argument
    try:
        return f"{option}={Path(value).expanduser()}"
    except RuntimeError:  # nobody of this name
        return argument


app = typer.Typer(
    name="pae",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=MARKUP,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
DEBUG = "PAE_DEBUG"  # set by --debug; read where errors are caught
INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C
# what torch says of the memory of CUDA, ROCm, XPU and MPS; cuBLAS has words of its own
FULL_ACCELERATOR = ("out of memory", "STATUS_ALLOC_FAILED")


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
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Print only JSON, errors and warnings."),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Also say which files, caches and threads serve."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """A generative model of your own images.

    It also tells what is unusual in them and restores what is damaged, with honest uncertainty.

    First steps: `pae samples pictures`, then `pae inpaint pictures/img.png --mask box` and
    `pae ood pictures/incoming`. Your own images: `pae train-ae FOLDER`, then `pae train-flow RUN`.

    The options below may stand anywhere on the command line.
    """
    del version
    set_verbosity(quiet=quiet, verbose=verbose)
    if debug:
        os.environ[DEBUG] = "1"
    if cache_is_temporary():
        complain(f"Warning: no home folder; the cache is {cache_folder()}, set {CACHE_VARIABLE}.")


def main() -> None:
    """Runs the command line; ends the process with the exit code."""
    hold_standard_streams()
    # pydantic would read what every installed package registers, which takes as long as its import
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        try:
            app(prog_name="pae")  # under `python -m paecli`, too
        finally:
            write_standard_output("")  # what is still to be written may not fit
    except PaeError as error:
        if os.environ.get(DEBUG):
            raise
        complain(f"Error: {error}")
        drop_standard_output()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        complain("Interrupted.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # the reader of our output went away (`pae ... | head`); nothing is wrong
        drop_standard_output()
        sys.exit(1)
    except (OSError, MemoryError, RuntimeError) as error:
        message = _limit_of_the_machine(error)
        if message is None or os.environ.get(DEBUG):
            raise
        complain(f"Error: {message}")
        drop_standard_output()
        sys.exit(1)


def _limit_of_the_machine(error: Exception) -> str | None:
    """Says what the system refused: a path it does not take, or memory; None for other errors."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"cannot use {error.filename!s:.200}: {error.strerror}; choose another path"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EBADF):
        return f"cannot write: {error.strerror}; free some space or choose another place"
    # torch raises a bare RuntimeError on CPUs
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return "not enough memory; ask for fewer or smaller images, or a smaller --batch-size"
    if any(sign in str(error) for sign in FULL_ACCELERATOR):
        return (
            "the accelerator's memory is full; close what else uses it, or give a smaller "
            "--batch-size or --device cpu"
        )
    return None
