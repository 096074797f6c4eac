import json
from dataclasses import asdict, dataclass

import pytest

from paecli.cli.console import print_json


@dataclass(frozen=True)
class Figures:
    mean: float
    interval: tuple[float, float]


def test_undefined_figures_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures(float("nan"), (float("-inf"), 1.5))
    print_json({"a": asdict(figures), "b": [float("inf")], "c": 0.5, "d": True})
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 1
    assert json.loads(printed) == {
        "a": {"mean": None, "interval": [None, 1.5]}, "b": [None], "c": 0.5, "d": True,
    }  # fmt: skip
