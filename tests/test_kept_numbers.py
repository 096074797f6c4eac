"""Numbers that were chosen stay as they are: constants of modules, and defaults of functions.

Most were found by trials (docs/decisions.md has them), and a changed one is invisible to other
tests: answers scatter more than it moves them. Here it is not. A change that is meant writes the
file anew: `PAE_KEEP_ANSWERS=1 pytest tests/test_kept_numbers.py`; say what it gave.
"""

import ast
import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import paecli

from .kept_answers import FOLDER, KEEP

PACKAGE = Path(paecli.__file__).parent
MODULES = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*.py")
    if path.stem not in ("__init__", "__main__")
)
KEPT = FOLDER / "numbers.json"


class WithoutWords(ast.NodeTransformer):
    """Leaves the numbers of an expression, and how they are put together."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant("") if isinstance(node.value, str) else node


def holds_a_number(value: ast.expr) -> bool:
    is_kind = isinstance(value, ast.Subscript)  # Annotated[...], Literal[...]
    return not is_kind and any(
        isinstance(node, ast.Constant) and isinstance(node.value, int | float)
        for node in ast.walk(value)
    )


def written(value: ast.expr) -> str:
    return ast.unparse(WithoutWords().visit(copy.deepcopy(value)))


def defaults(function: ast.FunctionDef) -> Iterator[tuple[str, ast.expr]]:
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    yield from (
        (each.arg, value)
        for each, value in zip(reversed(positional), reversed(given.defaults), strict=False)
    )
    yield from (
        (each.arg, value)
        for each, value in zip(given.kwonlyargs, given.kw_defaults, strict=True)
        if value is not None
    )


def numbers(body: list[ast.stmt], within: str = "") -> Iterator[tuple[str, str]]:
    """Yields names and values: of a module or class, and of what its functions take."""
    for node in body:
        match node:
            case ast.Assign(targets=[target], value=value) if holds_a_number(value):
                yield within + ast.unparse(target), written(value)
            case ast.AnnAssign(target=target, value=ast.expr() as value) if holds_a_number(value):
                yield within + ast.unparse(target), written(value)
            case ast.FunctionDef(name=name):
                for argument, value in defaults(node):
                    if holds_a_number(value):
                        yield f"{within}{name}({argument})", written(value)
            case ast.ClassDef(name=name, body=inner):
                yield from numbers(inner, f"{within}{name}.")


@pytest.mark.parametrize("module", MODULES)
def test_numbers_are_as_they_were_chosen(module: str) -> None:
    found = dict(numbers(ast.parse((PACKAGE / module).read_text()).body))
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if os.environ.get(KEEP):
        kept = {name: kept[name] for name in kept.keys() & set(MODULES)} | {module: found}
        ordered = {name: dict(sorted(kept[name].items())) for name in sorted(kept) if kept[name]}
        KEPT.write_text(json.dumps(ordered, indent=1) + "\n")
    before = kept.get(module, {})
    # names that are new or gone are no change of a number
    changed = {name: (before[name], value) for name, value in found.items() if name in before}
    changed = {name: pair for name, pair in changed.items() if pair[0] != pair[1]}
    assert not changed, f"say what it gave; {KEEP}=1 pytest {Path(__file__).name} keeps it"
