"""Tables as CSV that spreadsheets read as text and numbers, never as formulas."""

import csv
import io
from collections.abc import Iterable, Sequence

from paecli.system.names import escape_name

# a spreadsheet takes a cell that begins so for a formula, which may run programs
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Returns a table as CSV in UTF-8, each row as long as there are columns.

    A text that a spreadsheet would take for a formula gets an apostrophe before it, as
    spreadsheets do themselves. Numbers stay as they are. Line breaks in names stay, in quotes.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: object) -> object:
    if value is None or isinstance(value, int | float):
        return value
    name = escape_name(value)
    return f"'{name}" if name.startswith(FORMULAS) else name
