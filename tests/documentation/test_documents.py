"""Every code block of the documents works as it stands, or says why it is not run."""

import shutil
from pathlib import Path

import pytest
import yaml

from paecli.data import load_dataset

from .blocks import DOCUMENTS, ROOT, SHELL, Block, find_blocks
from .running import parse_pae, run_pae

BLOCKS = [block for document in DOCUMENTS for block in find_blocks(document)]
REFERENCE = find_blocks(ROOT / "docs" / "cli.md")  # written from the commands' help


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if not block.reason], ids=lambda block: block.name
)
def test_blocks_work(
    block: Block, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    shutil.copytree(prepared, place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("PAE_DATA", str(place / "data"))
    monkeypatch.setenv("PAE_CACHE", str(place / "cache"))
    if block.is_python:
        _run_python(block)
    elif block.language in ("yaml", "json"):
        assert yaml.safe_load(block.code)
    else:
        assert block.language in SHELL, f"{block.name}: say why {block.language} is not run"
        for command in block.commands():
            assert command[0] == "pae", f"{block.name}: say why it is not run: {command}"
            run_pae(command[1:])


def _run_python(block: Block) -> None:
    """Runs Python with what the text around it speaks of."""
    images = load_dataset("fmnist-mini").test.images[:4]
    observed = images[0, 0] > -1
    observed[:, :14] = False
    names = {"images": images, "image": images[0], "observed": observed}
    exec(compile(block.code, block.name, "exec"), names)


def test_examples_in_the_help_are_called_rightly() -> None:
    commands = [command for block in REFERENCE for command in block.commands()]
    assert len(commands) > 30
    for command in commands:
        parse_pae(command[1:])


def test_readers_see_no_mark() -> None:
    marked = [block for block in BLOCKS if block.reason]
    assert marked
    assert all("<!--" not in block.code for block in BLOCKS)
