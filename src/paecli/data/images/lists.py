"""Lists of image files: a table with a column of paths, perhaps of labels and of splits.

Commas, semicolons or tabs; a first row of names, or none. Paths are relative to the list.
"""

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from paecli.data.images.listing import image_endings
from paecli.data.split_folders import Part, Parts, likely_role
from paecli.system.errors import DataError
from paecli.system.names import escape_name

ENDINGS = (".csv", ".tsv", ".txt")
PATH_NAMES = ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "img",
              "image_path", "img_path", "image_file", "image_name")  # fmt: skip
LABEL_NAMES = ("label", "labels", "class", "class_name", "category", "target")
SPLIT_NAMES = ("split", "set", "subset", "part", "partition", "fold")
UNLABELLED = "no label"  # where other rows have one
DELIMITERS = ",;\t"
LONGEST = 1 << 16  # characters of a row that says where cells end


@dataclass(frozen=True)
class Row:
    """A line of a list.

    Attributes:
        number: of the line, from 1.
        file: the image.
        label: its class; empty without.
        role: `train`, `test` or `val`; None where the list does not say.
    """

    number: int
    file: Path
    label: str = ""
    role: str | None = None


@dataclass(frozen=True)
class _Columns:
    path: int
    label: int | None = None
    split: int | None = None


def is_list(path: Path) -> bool:
    """Tells whether a path is a file that is called like a list."""
    return path.suffix.lower() in ENDINGS and path.is_file()


def read_list(path: Path) -> list[Row]:
    """Reads the rows of a list; a file that comes twice counts once.

    The column of paths is the one with such a name (`path`, `file`, `image`, ...), else the first;
    that of labels is called `label`, `class` or the like, or is the second of two without names.

    Raises:
        DataError: unreadable, no table, no rows, a row without a path, an unknown split, or one
            file with two labels or splits.
    """
    rows: dict[Path, Row] = {}
    for row in _rows(path):
        known = rows.setdefault(row.file, row)
        if (known.label, known.role) != (row.label, row.role):
            raise DataError(
                f"{path} has {escape_name(row.file)} twice, in rows {known.number} and "
                f"{row.number}, with different labels or splits; keep one of them"
            )
    if not rows:
        raise DataError(f"{path} lists no images; give a column of paths, one a row")
    return list(rows.values())


def missing_files(rows: Sequence[Row]) -> list[tuple[Path, str]]:
    """Returns each listed file that is not there, with the reason."""
    return [
        (row.file, f"row {row.number}: {_what_is_wrong(row.file)}")
        for row in rows
        if not row.file.is_file()
    ]


def parts_of_list(path: Path) -> Parts:
    """Sorts the files of a list into splits, as `find_parts` does with those of a folder.

    Rows without a split are trained on; without any row for testing, the caller draws some.

    Raises:
        DataError: as `read_list`, or nothing to train on.
    """
    rows = read_list(path)
    parts = {role: _part(path, rows, role) for role in ("train", "test", "val")}
    train, test, validation = parts["train"], parts["test"], parts["val"]
    if train is None:
        raise DataError(f"{path} has no rows of the split `train`; add some, or drop the column")
    notes = []
    if test is None and validation is not None:
        notes.append(f"the rows of {path} for validation serve as test images")
        test, validation = validation, None
    lost = missing_files(rows)
    if lost:
        notes.append(f"{len(lost):,} of {len(rows):,} files of {path} are missing; {lost[0][1]}")
    return Parts(train, test, validation, tuple(notes))


def _part(path: Path, rows: Sequence[Row], role: str) -> Part | None:
    own = [row for row in rows if (row.role or "train") == role]
    if not own:
        return None
    labelled = any(row.label for row in rows)
    labels = tuple(row.label or UNLABELLED for row in own) if labelled else None
    return Part(path.parent, tuple(row.file for row in own), labels)


def _rows(path: Path) -> Iterator[Row]:
    columns: _Columns | None = None
    try:
        # names on disk are bytes: what is not UTF-8 comes through
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            head = text.readline(LONGEST)
            text.seek(0)
            reader = csv.reader(text, delimiter=_delimiter(head), strict=True)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if columns is None:
                    columns, is_header = _find_columns(path, cells)
                    if is_header:
                        continue
                yield _row(path, reader.line_num, cells, columns)
    except (OSError, csv.Error, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read the list {path}: {reason}; give a table as CSV") from error


def _delimiter(head: str) -> str:
    """Returns the mark that a first line has most of; a comma where it has none."""
    return max(DELIMITERS, key=lambda mark: (head.count(mark), mark == ","))


def _find_columns(path: Path, cells: Sequence[str]) -> tuple[_Columns, bool]:
    """Returns which columns hold what, and whether the first row names them."""
    names = [cell.strip().lower() for cell in cells]
    found = [_index(names, known) for known in (PATH_NAMES, LABEL_NAMES, SPLIT_NAMES)]
    if any(index is not None for index in found):
        place = 0 if found[0] is None else found[0]
        if place in found[1:]:
            raise DataError(f"{path} has no column of paths; call it `path`")
        return _Columns(place, *found[1:]), True
    first = cells[0].strip()
    is_header = Path(first).suffix.lower() not in image_endings() and not _exists(path, first)
    return _Columns(0, 1 if len(cells) == 2 else None), is_header


def _index(names: Sequence[str], known: Sequence[str]) -> int | None:
    return next((names.index(name) for name in known if name in names), None)


def _row(path: Path, number: int, cells: Sequence[str], columns: _Columns) -> Row:
    def cell(column: int | None) -> str:
        return cells[column].strip() if column is not None and column < len(cells) else ""

    name = cell(columns.path)
    if not name or "\0" in name:
        raise DataError(f"row {number} of {path} has no path; mend or remove it")
    split = cell(columns.split)
    role = likely_role(split) if split else None
    if split and role is None:
        raise DataError(
            f"row {number} of {path} has the split {escape_name(split)!r:.40}; write train, test "
            "or val"
        )
    file = os.path.normpath(path.parent / name)  # one file, one name; links are not followed
    return Row(number, Path(file), cell(columns.label), role)


def _exists(path: Path, name: str) -> bool:
    return bool(name) and "\0" not in name and (path.parent / name).exists()


def _what_is_wrong(file: Path) -> str:
    if file.is_dir():
        return f"{escape_name(file)} is a folder, not an image"
    return f"{escape_name(file)} does not exist"
