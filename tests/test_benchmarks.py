"""Benchmarks and tools, which no test runs, call what is there."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "tools").glob("*.py")])


def own_names(tree: ast.AST) -> dict[str, Any]:
    """Returns what a file imports of the package."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("paecli"):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
                found[alias.asname or alias.name] = getattr(module, alias.name)
    return found


def plain_calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Yields calls by name whose arguments are all written out."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and not any(isinstance(each, ast.Starred) for each in node.args)
            and all(each.arg for each in node.keywords)
        ):
            yield node, node.func.id


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_package_has_what_is_called(file: Path) -> None:
    tree = ast.parse(file.read_text())
    own = own_names(tree)
    for call, name in plain_calls(tree):
        if callable(own.get(name)):
            keywords = {each.arg: each for each in call.keywords if each.arg}
            inspect.signature(own[name]).bind(*call.args, **keywords)
