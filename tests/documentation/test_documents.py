"""Every code block of the documents works as it stands, or says why it is not run."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from paecli.api import PAE
from paecli.data import load_dataset

from .blocks import DOCUMENTS, ROOT, SHELL, Block, find_blocks
from .running import parse_pae, run_pae

BLOCKS = {document.name: find_blocks(document) for document in DOCUMENTS}
TO_RUN = {
    name: run for name, blocks in BLOCKS.items() if (run := [b for b in blocks if not b.reason])
}
REFERENCE = find_blocks(ROOT / "docs" / "cli.md")  # written from the commands' help
QUICK = {"method": "laplace", "samples": 8, "starts": 4}  # restorations


@pytest.fixture(scope="session")
def tried() -> set[str]:
    """Command lines that have worked: documents repeat some, and runs are prepared."""
    return set()


@pytest.mark.parametrize("name", TO_RUN)
def test_the_blocks_of_a_document_work_one_after_the_other(
    name: str, prepared: Path, tried: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    shutil.copytree(prepared, place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("PAE_DATA", str(place / "data"))
    monkeypatch.setenv("PAE_CACHE", str(place / "cache"))
    # chains take seconds, and have tests of their own
    defaults = PAE.restore.__kwdefaults__
    monkeypatch.setattr(PAE.restore, "__kwdefaults__", defaults | QUICK)
    names = _what_the_text_speaks_of()
    for block in TO_RUN[name]:
        if block.is_python:
            exec(compile(block.code, block.name, "exec"), names)
        elif block.language in ("yaml", "json"):
            assert yaml.safe_load(block.code)
        else:
            _run_shell(block, tried)


def _run_shell(block: Block, tried: set[str]) -> None:
    assert block.language in SHELL, f"{block.name}: say why {block.language} is not run"
    for command in block.commands():
        assert command[0] == "pae", f"{block.name}: say why it is not run: {command}"
        line = " ".join(command)
        if line not in tried or command[1] == "samples":
            run_pae(command[1:])
            tried.add(line)


def _what_the_text_speaks_of() -> dict[str, Any]:
    images = load_dataset("fmnist-mini").test.images[:4]
    observed = images[0, 0] > -1
    observed[:, :14] = False
    return {"images": images, "image": images[0], "observed": observed}


def test_examples_in_the_help_are_called_rightly() -> None:
    commands = [command for block in REFERENCE for command in block.commands()]
    assert len(commands) > 30
    for command in commands:
        ours = command[: command.index("|")] if "|" in command else command
        parse_pae(ours[1:])


def test_readers_see_no_mark() -> None:
    marked = [block for blocks in BLOCKS.values() for block in blocks if block.reason]
    assert marked
    assert all("<!--" not in block.code for blocks in BLOCKS.values() for block in blocks)
