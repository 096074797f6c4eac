"""Runs what documents show, as they show it, with settings that are small enough for a test."""

from collections.abc import Sequence

from paecli.cli.app import app, load_command

FOUND_OUTLIER = 3
FEW_EPOCHS = (("--epochs", "1"), ("--overwrite",))
FEW_DRAWS = (("--method", "laplace"), ("--starts", "4"), ("--samples", "4"))
FEW_IMAGES = (("--limit", "40"),)
# Command and options of a line, and what is added to it unless the line has it itself.
SMALL: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("train-ae --features", (("--image-size", "64"), ("--overwrite",))),
    ("train-ae", FEW_EPOCHS),
    ("train-flow", FEW_EPOCHS),
    ("ood --against", FEW_IMAGES),
    ("inpaint", FEW_DRAWS),
    ("denoise", FEW_DRAWS),
    ("fid", (("--features", "photo"),)),
    ("eval --fid", (("--features", "classifier"), ("--samples", "40"))),
)


def run_pae(arguments: Sequence[str]) -> None:
    """Runs `pae` with these arguments in this process, made smaller.

    Raises:
        PaeError: the command fails.
        click.ClickException: it is called wrongly.
    """
    code = app([*arguments, *_smaller(arguments)], standalone_mode=False)
    assert code in (None, 0) or (code == FOUND_OUTLIER and "--fail-on-outlier" in arguments), code


def parse_pae(arguments: Sequence[str]) -> None:
    """Reads a command line as `pae` would, and does nothing.

    Raises:
        click.ClickException: it is called wrongly.
    """
    command = load_command(arguments[0])
    command.make_context(arguments[0], list(arguments[1:]))


def _smaller(arguments: Sequence[str]) -> list[str]:
    if list(arguments) == ["ood"]:  # it compares whole sets
        return list(FEW_IMAGES[0])
    for line, options in SMALL:
        command, *needed = line.split()
        if command == arguments[0] and set(needed) <= set(arguments):
            return [word for option in options if option[0] not in arguments for word in option]
    return []
