import subprocess
import sys
from pathlib import Path

REFERENCE = Path(__file__).parents[2] / "docs" / "cli.md"
GENERATE = ("typer", "paecli.cli.app", "utils", "docs", "--name", "pae", "--title", "Commands")


def test_reference_is_what_the_commands_say() -> None:
    command = [sys.executable, "-m", *GENERATE]
    generated = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert generated.strip() == REFERENCE.read_text("utf-8").strip(), "run `make docs`"
