"""Standard output, which may be closed or full."""

import os
import sys

from paecli.system.errors import WriteError

STANDARD_STREAMS = (0, 1, 2)


def hold_standard_streams() -> None:
    """Keeps files from taking the numbers of standard streams that are closed.

    They would get what is printed. Printing to a closed standard output is an error, as it is
    for a full disk.
    """
    for number in STANDARD_STREAMS:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # takes the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for as long as the process


def write_standard_output(text: str) -> None:
    """Writes text at once.

    Raises:
        WriteError: standard output is closed, or what it leads to is full.
        BrokenPipeError: its reader has gone away.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WriteError(
            f"cannot write to standard output: {error.strerror}; redirect it to a file or pipe "
            "that takes it"
        ) from error


def drop_standard_output() -> None:
    """Gives up what could not be written; Python would try again when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
