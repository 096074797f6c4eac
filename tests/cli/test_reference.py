import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[2] / "docs" / "cli.md"
GENERATE = ("typer", "paecli.cli.app", "utils", "docs", "--name", "pae", "--title", "Commands")


WRITTEN_WITH = (0, 29)  # older releases of Typer word it otherwise


@pytest.mark.skipif(
    tuple(map(int, version("typer").split(".")[:2])) < WRITTEN_WITH,
    reason="docs/cli.md is written with a newer Typer",
)
def test_reference_is_what_the_commands_say() -> None:
    command = [sys.executable, "-m", *GENERATE]
    generated = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert generated.strip() == REFERENCE.read_text("utf-8").strip(), "run `make docs`"
