import csv
import io
from pathlib import Path

import pytest

from paecli.system.csv_text import csv_text


def test_numbers_and_nothing_stay_as_they_are() -> None:
    text = csv_text(("a", "b", "c", "d"), [(1, -2.5, None, True)])
    assert text == b"a,b,c,d\r\n1,-2.5,,True\r\n"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"])
def test_no_text_becomes_a_formula(start: str) -> None:
    text = csv_text(("x",), [(f"{start}1",)]).decode()
    *_, row = csv.reader(io.StringIO(text, newline=""))
    assert row[0].startswith("'")


def test_other_texts_and_paths_stay() -> None:
    text = csv_text(("x", "y"), [("a=1", Path("b/c.png")), ("two\nlines", 'a "quote"')]).decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[1] == ["a=1", "b/c.png"]
    assert rows[2][1] == 'a "quote"'
