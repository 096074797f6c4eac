"""How many one-line faults the tests notice: changes drawn by a seed over `src/paecli`.

    python benchmarks/mutation.py --seed 1 --count 200

A line is drawn, then a change of it: an operator, comparison or number replaced, a condition
negated, a statement or keyword argument left out, arguments swapped. Wording, annotations and
docstrings stay. The tests of the module run on each: `tests/a/test_b.py` of `a/b.py`, those that
import it, then its folder's, up to `--budget` seconds of processor time. The change is put into a
copy of the sources, so that tests that start `pae` see it, too. torch and the other libraries are
imported once; every change runs in a child of that process.
"""

import argparse
import ast
import compileall
import copy
import gc
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES, TESTS = ROOT / "src" / "paecli", ROOT / "tests"
LIBRARIES = (
    "torch", "torch.func", "torch.utils.data", "safetensors.torch", "scipy.stats", "scipy.ndimage",
    "sklearn.metrics", "sklearn.neural_network", "sklearn.mixture", "matplotlib.figure", "typer",
    "typer.testing", "rich.table", "pydantic", "yaml", "PIL.Image", "hypothesis", "FrEIA.framework",
    "accelerate", "filelock",
)  # fmt: skip
READ_SOURCES = {"test_house.py", "test_architecture.py", "test_reference.py"}
HUNG = 30.0  # seconds of processor time in one test
LONGEST = 900.0  # seconds on the clock, for tests that wait for other processes
OTHER: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
WORDING = {"help", "description", "title", "rich_help_panel", "metavar", "alt", "note"}


@dataclass(frozen=True)
class Mutant:
    """One change: the node `old` of a module becomes the text `new`."""

    file: Path
    line: int
    span: tuple[int, int, int, int]
    new: str
    kind: str

    def source(self) -> str:
        """Returns the changed text of the module."""
        first, start, last, end = self.span
        lines = self.file.read_bytes().splitlines(keepends=True)
        before = b"".join(lines[: first - 1]) + lines[first - 1][:start]
        after = lines[last - 1][end:] + b"".join(lines[last:])
        return (before + self.new.encode() + after).decode()

    def describe(self) -> str:
        """Returns where it is and what the line becomes."""
        changed = self.source().splitlines()[self.line - 1].strip()
        name = self.file.relative_to(SOURCES).as_posix()
        return f"{name}:{self.line} [{self.kind}] {changed}"


def mutants_of(file: Path) -> list[Mutant]:
    """Returns all changes of a module."""
    found = []
    for node in _meant(ast.parse(file.read_text())):
        for old, new, kind in _changes(node):
            span = (old.lineno, old.col_offset, old.end_lineno, old.end_col_offset)  # type: ignore[attr-defined]
            text = new if isinstance(new, str) else f"({ast.unparse(new)})"
            found.append(Mutant(file, span[0], span, text, kind))
    return found


def _meant(node: ast.AST) -> Iterator[ast.AST]:
    """Yields the nodes that compute something: no wording, annotations or stubs."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "ctx", "names"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr):
                continue
            if isinstance(child, ast.Import | ast.ImportFrom) or _is_stub(child):
                continue
            if isinstance(node, ast.Raise) or (
                isinstance(child, ast.keyword) and child.arg in WORDING
            ):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            yield from _meant(child)


def _is_stub(node: ast.AST) -> bool:
    """Tells a protocol, a type alias or code for type checkers."""
    if isinstance(node, ast.ClassDef):
        return any(ast.unparse(base) == "Protocol" for base in node.bases)
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    if isinstance(node, ast.Assign):
        text = ast.unparse(node.value)
        return text.startswith(
            ("Annotated[", "Literal[", "Callable[", "TypeVar(", "tuple[", "dict[")
        )
    return False


def _changes(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST | str, str]]:
    """Yields what to replace, by what, and what kind of change that is."""
    new: Any = copy.deepcopy(node)
    match node:
        case ast.Compare(ops=[first, *_]) if type(first) in OTHER:
            new.ops[0] = OTHER[type(first)]()
            yield node, new, "comparison"
        case ast.BinOp(op=op) if type(op) in OTHER and not _is_text(node):
            new.op = OTHER[type(op)]()
            yield node, new, "operator"
        case ast.BoolOp(op=op):
            new.op = OTHER[type(op)]()
            yield node, new, "and, or"
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand):
            yield node, operand, "sign"
        case ast.Constant(value=bool() as value):
            yield node, str(not value), "constant"
        case ast.Constant(value=int() as value):
            yield node, str(value + 1), "constant"
        case ast.Constant(value=float() as value):
            yield node, repr(1.5 * value or 1.0), "constant"
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield test, f"(not ({ast.unparse(test)}))", "condition negated"
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Raise() | ast.Delete():
            yield node, "pass", "statement left out"
        case ast.Call():
            yield from _changed_arguments(node)


def _changed_arguments(node: ast.Call) -> Iterator[tuple[ast.AST, ast.AST, str]]:
    match node.args:
        case [one, two, *_] if not (
            isinstance(one, ast.Starred | ast.Constant)
            or isinstance(two, ast.Starred)
            or ast.unparse(one) == ast.unparse(two)
        ):
            swapped = copy.deepcopy(node)
            swapped.args[0], swapped.args[1] = two, one
            yield node, swapped, "arguments swapped"
    for index, keyword in enumerate(node.keywords):
        if keyword.arg and keyword.arg not in WORDING:
            less = copy.deepcopy(node)
            del less.keywords[index]
            yield node, less, f"without {keyword.arg}"


def _is_text(node: ast.BinOp) -> bool:
    """Tells words put together."""
    return any(
        isinstance(side, ast.JoinedStr)
        or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def draw(count: int, seed: int, only: str) -> list[Mutant]:
    """Draws changes of different lines."""
    files = [
        file
        for file in sorted(SOURCES.rglob("*.py"))
        if only in file.as_posix() and file.name not in ("__init__.py", "__main__.py")
    ]
    by_line: dict[tuple[Path, int], list[Mutant]] = {}
    for file in files:
        for each in mutants_of(file):
            by_line.setdefault((file, each.line), []).append(each)
    chosen = random.Random(seed)
    lines = chosen.sample(sorted(by_line), min(count, len(by_line)))
    drawn = [chosen.choice(by_line[line]) for line in lines]
    print(f"{len(by_line):,} lines can be changed in {len(files)} modules", flush=True)
    return drawn


def tests_of(file: Path) -> list[str]:
    """Returns the test files of a module, those that name it first."""
    relative = file.relative_to(SOURCES)
    folder = TESTS / relative.parent
    while not folder.is_dir():
        folder = folder.parent
    mirrored = TESTS / relative.parent / f"test_{relative.stem}.py"
    module = "paecli." + ".".join(relative.with_suffix("").parts)
    own = folder.rglob("test_*.py") if folder != TESTS else folder.glob("test_*.py")
    within = sorted(own, key=lambda path: (path.parent != folder, path))
    importers = [path for path in sorted(TESTS.rglob("test_*.py")) if module in path.read_text()]
    order = [path for path in [mirrored] if path.exists()]
    order += [path for path in importers if path in within]
    order += [path for path in importers if path not in within]
    order += within
    return [str(path) for path in dict.fromkeys(order) if path.name not in READ_SOURCES]


class Watch:
    """A pytest plugin: says which test failed, ends hung tests, and keeps to a budget."""

    def __init__(self, budget: float) -> None:
        """Takes seconds of processor time for all tests together."""
        self.end = time.process_time() + budget
        self.failed, self.spent, self.passed = "", False, 0

    def pytest_runtest_setup(self) -> None:
        """Ends the run when the budget is spent; limits the test that comes."""
        if time.process_time() > self.end:
            self.spent = True
            pytest.exit("the budget is spent", returncode=0)
        signal.setitimer(signal.ITIMER_PROF, HUNG)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Remembers the first failure."""
        self.failed = self.failed or (report.nodeid if report.failed else "")
        self.passed += report.when == "call" and report.passed

    def pytest_collectreport(self, report: Any) -> None:
        """A module that cannot be imported fails."""
        self.failed = self.failed or (report.nodeid if report.failed else "")


def outcome(tests: list[str], tree: Path, budget: float) -> dict[str, Any]:
    """Runs tests on the sources in `tree`, in a child; returns what came out."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setsid()
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        signal.signal(signal.SIGPROF, _stop_hung)
        sys.path.insert(0, str(tree))
        os.environ["PYTHONPATH"] = str(tree)
        os.chdir(ROOT)
        watch = Watch(budget)
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *tests],
                           plugins=[watch])  # fmt: skip
        told = {"code": int(code), "failed": watch.failed, "spent": watch.spent,
                "passed": watch.passed, "seconds": round(time.process_time(), 1)}  # fmt: skip
        os.write(writing, json.dumps(told).encode())
        os._exit(0)
    os.close(writing)
    end = time.monotonic() + LONGEST
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(reading)
            return {"code": 1, "failed": "(took too long)", "spent": False, "passed": 0}
        time.sleep(0.05)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    return (
        json.loads(text) if text else {"code": 1, "failed": "(ended the process)", "spent": False}
    )


def _stop_hung(*_unused: object) -> None:
    raise TimeoutError("the test hangs")


def copy_sources(tree: Path) -> None:
    """Copies the package; compiled files are checked by content, since changes keep the time."""
    shutil.copytree(SOURCES, tree / "paecli", ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(
        tree, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH, workers=1
    )


def main() -> None:
    """Prints every change with its fate, and the share that survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--start", type=int, default=0, help="leave out so many of them")
    parser.add_argument("--only", default="", help="of files with this in their path")
    parser.add_argument("--budget", type=float, default=60.0, help="processor seconds a change")
    parser.add_argument("--list", action="store_true", help="print the changes and run nothing")
    options = parser.parse_args()
    drawn = draw(options.count, options.seed, options.only)[options.start :]
    if options.list:
        print(*(each.describe() for each in drawn), sep="\n")
        return
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_sources(tree)
        for number, mutant in enumerate(drawn, 1):
            place = tree / "paecli" / mutant.file.relative_to(SOURCES)
            place.write_text(mutant.source())
            found = outcome(tests_of(mutant.file), tree, options.budget)
            shutil.copyfile(mutant.file, place)
            survived = found["code"] in (0, 5)
            if survived:
                survivors.append(mutant.describe())
            fate = "SURVIVED" if survived else "noticed"
            fate += " (budget)" if survived and found["spent"] else ""
            print(
                f"{number}/{len(drawn)} {fate} {found.get('seconds', '')} s "
                f"{mutant.describe()} <- {found['failed']}",
                flush=True,
            )
    share = len(survivors) / max(len(drawn), 1)
    print(f"\n{len(survivors)} of {len(drawn)} survived ({share:.1%}), seed {options.seed}:")
    print(*survivors, sep="\n")


if __name__ == "__main__":
    main()
