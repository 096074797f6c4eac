"""Tables and bars on standard error, by Rich; `console.py` imports it when one is shown."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

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

from paecli.system.names import visible
from paecli.system.progress import GAP, as_text

NARROWEST = 40  # letters of a line; tables need as many
BAR_WIDTHS = 6, 12  # where the line is shorter than `WIDE`, and elsewhere
WIDE = 100
TIMES_WIDTH = 25  # letters of both times, of `left` and of the gaps
SHORTEST_NAME = 8  # letters
BORDERS = 3  # letters of a column's edge and gaps
LONGEST_WHOLE = 30  # letters of a name that is not folded


def _console() -> Console:
    """Returns a console on standard error; COLUMNS may make it narrow, but not vanish."""
    columns = os.environ.get("COLUMNS", "")
    too_narrow = columns.isdecimal() and int(columns) < NARROWEST
    width = NARROWEST if too_narrow else None
    return Console(stderr=True, highlight=False, emoji=False, width=width)


stderr = _console()


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, words: bool
) -> None:
    """Prints a table; see `console.print_table`."""
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


def say(line: str) -> None:
    """Prints a line above the bars."""
    stderr.print(line, markup=False, soft_wrap=True)


class RichTask:
    """A bar of `console.RichProgress`."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars = bars
        self._task = task
        self._shown: dict[str, str] = {}

    def advance(self, steps: int = 1, **shown: str) -> None:
        """Moves the bar and updates the texts beside it."""
        self._shown |= shown
        self._bars.update(self._task, advance=steps, shown=as_text(self._shown))


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


@contextmanager
def bar(description: str, total: int) -> Iterator[RichTask]:
    """Shows a bar of `total` steps until the block ends."""
    with Progress(*_columns(total), console=stderr, expand=True) as bars:
        name = _shortened(description, total)
        yield RichTask(bars, bars.add_task(name, total=total, shown=""))
