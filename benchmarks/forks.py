"""Commands in forks of a process that has torch loaded; a start costs seconds."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import paecli.train  # noqa: F401 - loads what the forks need
from paecli.cli.app import main as pae


def start(words: list[str], log: Path, *, at_end: Callable[[], object] = lambda: None) -> int:
    """Runs `pae` in a fork; returns its process id.

    Args:
        words: after `pae`.
        log: gets what is printed.
        at_end: is called by the fork when the command has ended.
    """
    process = os.fork()
    if process:
        return process
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["pae", *words]
    code = 0
    try:
        pae()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    except BaseException as error:
        os.write(2, repr(error).encode())
        code = 1
    at_end()
    os._exit(code)


def finish(words: list[str], log: Path, *, at_end: Callable[[], object] = lambda: None) -> None:
    """Runs `pae` to its end.

    Raises:
        RuntimeError: it fails.
    """
    _, status = os.waitpid(start(words, log, at_end=at_end), 0)
    if status:
        raise RuntimeError(f"pae {' '.join(words)} failed:\n{log.read_text()[-2000:]}")
