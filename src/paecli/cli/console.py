"""All printing: JSON to standard output, everything else to standard error.

Lines are written as they are. Tables and bars come from `screen.py`, which brings Rich: mistakes do
without it.
"""

import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from paecli.cli.standard_output import write_standard_output
from paecli.system.cores import process_index
from paecli.system.names import escape_name, visible
from paecli.system.progress import as_text

if TYPE_CHECKING:
    from paecli.cli.screen import RichTask

SECONDS_BETWEEN_LINES = 10
WARNING = "Warning: "  # how lines begin that somebody who asked for quiet should see


class _Lines:
    """Lines on standard error, and what is asked of them.

    Attributes:
        quiet: whether somebody asked for quiet.
    """

    def __init__(self) -> None:
        """Starts with no bar on the screen."""
        self.quiet = False
        self._above: Callable[[str], None] | None = None

    def write(self, line: str) -> None:
        """Writes one line; above the bars, where there are some."""
        if self._above is not None:
            self._above(line)
        elif sys.stderr is not None:  # it is None where it was closed before we began
            print(line, file=sys.stderr, flush=True)

    @contextmanager
    def above_bars(self, write: Callable[[str], None]) -> Iterator[None]:
        """Hands lines to `write` until the block ends."""
        before, self._above = self._above, write
        try:
            yield
        finally:
            self._above = before


_lines = _Lines()


class _Details(logging.Handler):
    """Prints what the library logs, and each sentence once: a file is often found twice."""

    def __init__(self) -> None:
        """Starts with nothing said."""
        super().__init__()
        self.said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one record as a line."""
        line = f"{record.name.removeprefix('paecli.')}: {record.getMessage()}"
        if line not in self.said:
            self.said.add(line)
            complain(line)


_details = _Details()


def set_verbosity(*, quiet: bool, verbose: bool) -> None:
    """Sets what is printed from now on.

    Args:
        quiet: only JSON, errors and warnings.
        verbose: also what the library logs: files, caches, threads.
    """
    _lines.quiet = quiet or process_index() > 0  # of several processes the first one speaks
    logger = logging.getLogger("paecli")
    logger.setLevel(logging.DEBUG if verbose else logging.NOTSET)
    (logger.addHandler if verbose else logger.removeHandler)(_details)
    _details.said.clear()


def print_json(fields: Mapping[str, Any]) -> None:
    """Prints exactly one JSON object, on one line, to standard output; the first process does.

    JSON has no NaN and no infinity: a figure that is not defined is null.

    Raises:
        WriteError: standard output is closed or full.
    """
    if process_index() == 0:
        write_standard_output(json.dumps(_defined(fields), allow_nan=False) + "\n")


def _defined(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _defined(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, int) else escape_name(value)


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, words: bool = False
) -> None:
    """Prints a table; columns after the first align right, as numbers do, unless they are words.

    Where it is too wide, cells are folded; those of the first column last, but numbers never while
    there is room for a name beside them.
    """
    from paecli.cli import screen

    if not _lines.quiet:
        screen.print_table(title, columns, rows, words=words)


def say(message: str) -> None:
    """Prints one line for the user."""
    if not _lines.quiet:
        _lines.write(visible(message))


def complain(message: str) -> None:
    """Prints one line that `--quiet` does not silence: an error or a warning."""
    _lines.write(visible(message))


class PlainTask:
    """Prints a line now and then: what a log file wants instead of a bar."""

    def __init__(self, description: str, total: int) -> None:
        self._description = description
        self._total = total
        self._done = 0
        self._shown: dict[str, str] = {}
        self._printed = time.monotonic()

    def advance(self, steps: int = 1, **shown: str) -> None:
        """Counts, and prints if the last line is old."""
        self._done += steps
        self._shown |= shown
        if time.monotonic() - self._printed >= SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            say(f"{self._description} {self._done}/{self._total}  {as_text(self._shown)}")


class RichProgress:
    """Shows workflows' progress as bars on standard error, as lines where that is a file."""

    def __init__(self) -> None:
        """Starts with nothing said."""
        self._said: set[str] = set()

    @contextmanager
    def task(self, description: str, total: int) -> Iterator["RichTask | PlainTask"]:
        """Shows a bar of `total` steps until the block ends."""
        if _lines.quiet:
            yield PlainTask(description, total)
            return
        from paecli.cli import screen

        if not screen.stderr.is_terminal:
            yield PlainTask(description, total)
            return
        with screen.bar(description, total) as task, _lines.above_bars(screen.say):
            yield task

    def say(self, message: str) -> None:
        """Prints one line, the same one once; a warning is said even after `be_quiet`."""
        if message in self._said:
            return
        self._said.add(message)
        (complain if message.startswith(WARNING) else say)(message)
