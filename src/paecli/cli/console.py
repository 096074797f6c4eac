"""All printing: JSON to standard output, everything else to standard error."""

import json
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from paecli.cli.standard_output import write_standard_output
from paecli.system.cores import process_index
from paecli.system.names import escape_name, visible

SECONDS_BETWEEN_LINES = 10
NARROWEST = 40  # letters of a line; tables need as many
BAR_WIDTHS = 6, 12  # where the line is shorter than `WIDE`, and elsewhere
WIDE = 100
TIMES_WIDTH = 25  # letters of both times, of `left` and of the gaps
SHORTEST_NAME = 8  # letters
BORDERS = 3  # letters of a column's edge and gaps
LONGEST_WHOLE = 30  # letters of a name that is not folded
GAP = "  "  # between figures beside a bar
WARNING = "Warning: "  # how lines begin that somebody who asked for quiet should see


def _console() -> Console:
    """Returns a console on standard error; COLUMNS may make it narrow, but not vanish."""
    columns = os.environ.get("COLUMNS", "")
    too_narrow = columns.isdecimal() and int(columns) < NARROWEST
    return Console(stderr=True, highlight=False, width=NARROWEST if too_narrow else None)


stderr = _console()  # silent where somebody asked for quiet
_errors = _console()


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
    stderr.quiet = quiet or process_index() > 0  # of several processes the first one speaks
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
    table = Table(
        title=Text(visible(title)), title_justify="left", title_style="bold", pad_edge=False
    )
    cells = [[column, *(row[index] for row in rows)] for index, column in enumerate(columns)]
    # what folds at no space without becoming another number
    solid = [not words and not any(" " in cell for cell in column) for column in cells]
    beside = sum(
        max(len(cell if own else max(cell.split(), key=len, default="")) for cell in column)
        for column, own in zip(cells[1:], solid[1:], strict=True)
    )
    room = stderr.width - beside - BORDERS * len(columns)  # of the first column
    longest = max((len(cell) for cell in cells[0][1:]), default=0)
    # names are typed again, so a short one stays whole while others fold
    whole = longest <= min(LONGEST_WHOLE, stderr.width // 2)
    for index, column in enumerate(columns):
        kept = whole and (words or longest <= room or room < SHORTEST_NAME)
        if index > 0:
            kept = solid[index] and room >= SHORTEST_NAME
        justify: Literal["left", "right"] = "left" if words or index == 0 else "right"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=kept)
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    stderr.print(table)


def say(message: str) -> None:
    """Prints one line for the user."""
    stderr.print(visible(message), markup=False, soft_wrap=True)


def complain(message: str) -> None:
    """Prints one line that `--quiet` does not silence: an error or a warning."""
    _errors.print(visible(message), markup=False, soft_wrap=True)


class RichTask:
    """A bar of `RichProgress`."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars = bars
        self._task = task
        self._shown: dict[str, str] = {}

    def advance(self, steps: int = 1, **shown: str) -> None:
        """Moves the bar and updates the texts beside it."""
        self._shown |= shown
        self._bars.update(self._task, advance=steps, shown=_as_text(self._shown))


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
            say(f"{self._description} {self._done}/{self._total}  {_as_text(self._shown)}")


def _as_text(shown: Mapping[str, str]) -> str:
    return GAP.join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items())


@dataclass(frozen=True)
class _Figures:
    """Figures beside a bar: as many as there is room for, each of them whole."""

    text: str

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        parts = self.text.split(GAP)
        while parts and len(GAP.join(parts)) > options.max_width:
            parts.pop()
        yield Text(GAP.join(parts))

    def __rich_measure__(self, _console: Console, _options: ConsoleOptions) -> Measurement:
        return Measurement(0, len(self.text))


class _FiguresColumn(ProgressColumn):
    def render(self, task: Task) -> _Figures:
        return _Figures(task.fields["shown"])


def _bar_width() -> int:
    return BAR_WIDTHS[stderr.width >= WIDE]


def _shortened(description: str, total: int) -> str:
    """Cuts what a bar is called so that steps and time left fit beside it."""
    steps = 2 * len(str(total)) + 1
    room = max(stderr.width - _bar_width() - steps - TIMES_WIDTH, SHORTEST_NAME)
    return description if len(description) <= room else f"{description[: room - 1]}…"


def _columns(total: int) -> list[ProgressColumn]:
    """Returns the parts of a bar; where the line is too narrow, the last figures are left out.

    A single step has no bar, which would stay at 0 to the end.
    """
    width = _bar_width()
    what = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
    time_taken = TimeElapsedColumn(Column(no_wrap=True))
    figures = _FiguresColumn(Column(ratio=1, no_wrap=True))
    if total == 1:
        return [SpinnerColumn(table_column=Column(no_wrap=True)), what, time_taken, figures]
    return [
        what,
        BarColumn(bar_width=width, table_column=Column(no_wrap=True, min_width=width)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        time_taken,
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        TextColumn("left", table_column=Column(no_wrap=True)),
        figures,
    ]


class RichProgress:
    """Shows workflows' progress as bars on standard error, as lines where that is a file."""

    def __init__(self) -> None:
        """Starts with nothing said."""
        self._said: set[str] = set()

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[RichTask | PlainTask]:
        """Shows a bar of `total` steps until the block ends."""
        if stderr.quiet or not stderr.is_terminal:
            yield PlainTask(description, total)
            return
        with Progress(*_columns(total), console=stderr, expand=True) as bars:
            name = _shortened(description, total)
            yield RichTask(bars, bars.add_task(name, total=total, shown=""))

    def say(self, message: str) -> None:
        """Prints one line, the same one once; a warning is said even after `be_quiet`."""
        if message in self._said:
            return
        self._said.add(message)
        (complain if message.startswith(WARNING) else say)(message)
