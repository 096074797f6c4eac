"""Nothing a user asks for is lost on the way down, and an option has one default throughout."""

import ast
import builtins
import importlib
import inspect
import pkgutil
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import paecli

PACKAGE = Path(paecli.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# A call that leaves out a name which it could hand on, and why.
LEFT_OUT = {
    "data/substitute.py partial data_dir": "the bundled sample is in the package",
    "demo.py load_dataset progress": "its sets are bundled",
    "evaluation/features/opening.py open_feature_network inception_weights": "of Inception alone",
    "evaluation/image_sets.py cached_features folder": "a folder of images, not of answers",
    "evaluation/image_sets.py cached_features progress": "the caller counts all images together",
    "model/patches/lite0.py SameConv2d stride": "that of the stage's first block, not of all",
    "model/networks/resnet.py ResidualMLPBlock dropout": "the last block has none",
    "outliers/drift.py _Comparison tolerance": "images of one stream are drawn alike",
    "outliers/flag_images.py measure_with_parts progress": "the caller counts all images together",
    "report/ood_plots.py page.add_picture caption": "the plot has it in its own words",
    "restoration/guarantee/held_out.py load_dataset data_dir": "the bundled sample has none",
    "restoration/guarantee/held_out.py load_dataset progress": "the bundled sample is at hand",
    "restoration/guarantee/quick_fit.py QuickFit mean": "another quantity of that name",
    "serve/answers.py RestoreSettings mask": "a mask that was read, not the name of one",
    "store/registry.py open_registry progress": "the bundled registry downloads nothing",
    "system/tuner.py _Timing seconds": "begins at nothing",
    "system/tuner.py _Timing units": "begins at nothing",
}

NO_OPTION = re.compile(r"None$|field\(")  # something else decides; a result begins empty
# Names of several meanings, and all their defaults.
SEVERAL_DEFAULTS = {
    "baseline": {"0", "500"},
    "bins": {"60", "8"},
    "blocks": {"1", "2", "8"},
    "count": {"16", "6", "64"},
    "data": {"DataSettings()", "{}"},
    "description": {"''", "'scoring images'"},
    "device": {"'auto'", "'cpu'"},
    "dropout": {"0.0", "0.25"},
    "features": {"'none'", "Features.auto"},
    "fid": {"False", "True"},
    "flow": {"'nsf'", "FlowSettings()", "True"},
    "method": {"'adamw'", "'auto'"},
    "network": {"''", "'resnet'"},
    "noise": {"'0'", "0.0"},
    "optimiser": {"OptimiserSettings()", "OptimiserSettings(epochs=60, learning_rate=0.001)"},
    "out": {f"Path('{name}')" for name in
            ("demo", "interpolation", "recalibrated", "restored", "samples")},
    "reach": {"0.0", "3.0"},
    "resize": {"False", "True"},
    "samples": {"10000", "64"},
    "score": {"'log_prob'", "DEFAULT_SCORE"},
    "split_by": {"'content'", "'position'"},
    "steps": {"1", "13", "9", "FINAL_STEPS"},
    "tolerance": {"0.0", "NONE"},
    "threads": {"'1'", "'auto'", "0"},
    "units": {"0", "1"},
    "width": {"1024", "128", "512"},
}  # fmt: skip


class Package:
    """What the package's functions take, by the names they are called by."""

    def __init__(self) -> None:
        self.methods: dict[str, list[Callable[..., object]]] = defaultdict(list)
        for found in pkgutil.walk_packages([str(PACKAGE)], "paecli."):
            if found.name.endswith("__main__"):
                continue
            module = importlib.import_module(found.name)
            for each in vars(module).values():
                if inspect.isclass(each) and each.__module__ == module.__name__:
                    for name, method in vars(each).items():
                        if inspect.isfunction(method) or isinstance(method, staticmethod):
                            self.methods[name].append(getattr(each, name))


package = cache(Package)


def imported(tree: ast.AST) -> dict[str, Any]:
    """Returns what the statements of a module or function import from the package."""
    return {
        name.asname or name.name: getattr(importlib.import_module(node.module), name.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("paecli")
        for name in node.names
        if node.module and hasattr(importlib.import_module(node.module), name.name)
    }


def takes(function: object, *, bound: bool) -> tuple[list[str], set[str]]:
    """Returns the names of a function's arguments by position, and those with a default."""
    try:
        parameters = list(inspect.signature(function).parameters.values())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return [], set()
    by_position = [each.name for each in parameters if each.kind < each.KEYWORD_ONLY][bound:]
    return by_position, {each.name for each in parameters if each.default is not each.empty}


def names_in(function: ast.FunctionDef | ast.Lambda) -> set[str]:
    """Returns arguments of a function, and what it assigns."""
    given = function.args
    names = {each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
    return names | {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def calls(
    node: ast.AST, names: frozenset[str], known: dict[str, Any]
) -> Iterator[tuple[ast.Call, frozenset[str], dict[str, Any]]]:
    """Yields calls, the names that are at hand there, and the functions by their names."""
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        names = names | names_in(node)
        known = known | imported(node)
    if isinstance(node, ast.Call):
        yield node, names, known
    for child in ast.iter_child_nodes(node):
        yield from calls(child, names, known)


def left_out(call: ast.Call, names: frozenset[str], known: dict[str, Any]) -> set[str]:
    """Returns the names at hand that a call could hand on, and does not."""
    given, function, bound = list(call.args), call.func, False
    if isinstance(function, ast.Name) and function.id == "partial" and given:
        function = given.pop(0)
    called: object = None
    if isinstance(function, ast.Name):
        called = known.get(function.id)
    elif isinstance(function, ast.Attribute) and len(package().methods[function.attr]) == 1:
        called = package().methods[function.attr][0]
        bound = "self" in inspect.signature(called).parameters  # type: ignore[arg-type]
    if called is None or any(isinstance(each, ast.Starred) for each in given):
        return set()
    if any(keyword.arg is None for keyword in call.keywords):
        return set()
    by_position, optional = takes(called, bound=bound)
    handed = {*by_position[: len(given)], *(keyword.arg for keyword in call.keywords)}
    return (optional & names) - handed


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_a_name_that_both_know_is_handed_on(file: Path) -> None:
    name = file.relative_to(PACKAGE).as_posix()
    module = ".".join(("paecli", *file.relative_to(PACKAGE).with_suffix("").parts))
    if file.stem in ("__init__", "__main__"):
        return
    own = {
        each: value
        for each, value in vars(importlib.import_module(module)).items()
        if getattr(value, "__module__", "").startswith("paecli") and each not in vars(builtins)
    }
    forgotten = [
        f"{name} {ast.unparse(call.func)} {each}"
        for call, names, known in calls(ast.parse(file.read_text()), frozenset(), own)
        for each in left_out(call, names, known)
    ]
    assert set(forgotten) <= LEFT_OUT.keys()


def defaults_in(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yields the names and defaults of arguments and of fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            given = node.args
            by_position = [*given.posonlyargs, *given.args]
            last = by_position[len(by_position) - len(given.defaults) :]
            yield from ((each.arg, value) for each, value in zip(last, given.defaults, strict=True))
            by_keyword = zip(given.kwonlyargs, given.kw_defaults, strict=True)
            yield from ((each.arg, value) for each, value in by_keyword if value is not None)
        elif isinstance(node, ast.ClassDef):
            for each in node.body:
                if isinstance(each, ast.AnnAssign) and each.value is not None:
                    yield ast.unparse(each.target), each.value


def value_of(default: ast.expr) -> str:
    """Returns a default's text; of pydantic's `Field`, that of the value."""
    if isinstance(default, ast.Call) and ast.unparse(default.func) == "Field":
        return ast.unparse(default.args[0]) if default.args else "None"
    return ast.unparse(default)


def test_an_option_has_one_default() -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for file in FILES:
        for name, default in defaults_in(ast.parse(file.read_text())):
            found[name].append(value_of(default))
    several = {
        name: kinds
        for name, values in found.items()
        if len(kinds := {each for each in values if not NO_OPTION.match(each)}) > 1
        and not kinds <= SEVERAL_DEFAULTS.get(name, set())
    }
    assert not several
