"""One-line faults of the package, for `mutation.py`: which there are, and a draw of them by a seed.

A line is drawn, then a change of it: an operator, comparison or number replaced, a condition
negated, a statement or keyword argument left out, arguments swapped. Wording, annotations and
docstrings stay. So do changes that alter no answer by their kind, by these rules and no others:

- numbers in the capitals of `MEMORY` (how many are handled at once) and `WAITING` (how long
  something outside is waited for), what `sleep` and `timeout=` take;
- the keywords in `LAYOUT`, that say only how a picture or a table is drawn, and `strict=` of `zip`,
  a guard against faults of our own;
- `<` for `<=` where a side is a float, a constant that is one, or a random draw: equality has
  no weight there, so the comparison is turned round instead;
- the order of two arguments of `min` and `max`.
"""

import ast
import copy
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src" / "paecli"
OTHER: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
TURNED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.Gt, ast.LtE: ast.Gt, ast.Gt: ast.Lt, ast.GtE: ast.Lt,
}  # fmt: skip
WORDING = {"help", "description", "title", "rich_help_panel", "metavar", "alt", "note"}
LAYOUT = {
    "figsize", "dpi", "fontsize", "linewidth", "linestyle", "color", "marker", "alpha", "loc",
    "ha", "va", "rect", "layout", "frame_on", "aspect", "height_ratios", "width_ratios",
    "interpolation", "justify", "style", "overflow", "no_wrap", "tabindex",
}  # fmt: skip
MEMORY = re.compile("CHUNK|TOGETHER|AT_ONCE|PIECE|^ROWS$|^JACOBIAN_ROWS$|^SSIM_BATCH$")
WAITING = re.compile(
    "TIMEOUT|PATIENCE|PAUSE|SECONDS|RESCAN|SETTLE|LONGEST_WAIT|LONGEST_START|LONGEST_TEXT"
)
RANDOM = re.compile(r"\.(rand|randn|uniform|random|monotonic|perf_counter|time)\(")


@dataclass(frozen=True)
class Mutant:
    """One change: the node `old` of a module becomes the text `new`.

    Attributes:
        file: the module.
        line: the first changed one.
        statement: first and last line of the statement, or of its head, that it stands in.
        span: of the changed text: line and column of its beginning and end.
        new: text that takes its place.
        kind: of change, in words.
    """

    file: Path
    line: int
    statement: tuple[int, int]
    span: tuple[int, int, int, int]
    new: str
    kind: str

    @property
    def name(self) -> str:
        """Its module's path in the package."""
        return self.file.relative_to(SOURCES).as_posix()

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
        return f"{self.name}:{self.line} [{self.kind}] {changed}"


def draw(count: int, seed: int, only: str) -> list[Mutant]:
    """Draws changes of different lines."""
    by_line = all_mutants(only)
    chosen = random.Random(seed)
    lines = chosen.sample(sorted(by_line), min(count, len(by_line)))
    return [chosen.choice(by_line[line]) for line in lines]


def all_mutants(only: str) -> dict[tuple[Path, int], list[Mutant]]:
    """Returns the changes of each line of the files with `only` in their path."""
    by_line: dict[tuple[Path, int], list[Mutant]] = {}
    for file in sorted(SOURCES.rglob("*.py")):
        if only in file.as_posix() and file.name not in ("__init__.py", "__main__.py"):
            for each in mutants_of(file):
                by_line.setdefault((file, each.line), []).append(each)
    return by_line


def mutants_of(file: Path) -> list[Mutant]:
    """Returns all changes of a module."""
    tree = ast.parse(file.read_text())
    statements = _statements(tree)
    found = []
    for node in _meant(tree):
        for old, new, kind in _changes(node):
            span = (old.lineno, old.col_offset, old.end_lineno, old.end_col_offset)  # type: ignore[attr-defined]
            text = new if isinstance(new, str) else f"({ast.unparse(new)})"
            found.append(Mutant(file, span[0], statements[span[0]], span, text, kind))
    return found


def _statements(tree: ast.AST) -> dict[int, tuple[int, int]]:
    """Returns for each line the first and last line of the innermost statement's own part."""
    spans = {}
    for node in ast.walk(tree):  # outer ones first
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno
            for line in range(node.lineno, (last or node.lineno) + 1):
                spans[line] = (node.lineno, last or node.lineno)
    return spans


@cache
def _float_constants() -> frozenset[str]:
    """Names in capitals that stand for floats, anywhere in the package."""
    found = set()
    for file in SOURCES.rglob("*.py"):
        for node in ast.parse(file.read_text()).body:
            match node:
                case ast.Assign(
                    targets=[ast.Name(id=name)],
                    value=ast.Constant(value=float()) | ast.BinOp(op=ast.Div()),
                ):
                    found.add(name)
    return frozenset(found)


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
            if isinstance(node, ast.Raise) or _alters_no_answer(child):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            yield from _meant(child)


def _alters_no_answer(node: ast.AST) -> bool:
    """The first two rules of this file, and wording."""
    match node:
        case ast.keyword(arg=name):
            return _is_left(name)
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name.isupper() and bool(MEMORY.search(name) or WAITING.search(name))
        case ast.Expr(value=ast.Call(func=ast.Name(id="sleep") | ast.Attribute(attr="sleep"))):
            return True
    return False


def _is_left(keyword: str | None) -> bool:
    return keyword is None or keyword in WORDING | LAYOUT | {"strict", "timeout"}


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
    match node:
        case ast.Compare(ops=[first, *_]) if type(first) in OTHER:
            new: Any = copy.deepcopy(node)
            is_turned = type(first) in TURNED and _is_continuous(node)
            new.ops[0] = (TURNED if is_turned else OTHER)[type(first)]()
            yield node, new, "comparison"
        case ast.BinOp(op=op) if type(op) in OTHER and not _is_text(node):
            new = copy.deepcopy(node)
            new.op = OTHER[type(op)]()
            yield node, new, "operator"
        case ast.BoolOp(op=op):
            new = copy.deepcopy(node)
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


def _is_continuous(node: ast.Compare) -> bool:
    """Tells a comparison with a float, a constant that is one, or a random draw."""
    for side in (node.left, *node.comparators):
        match side:
            case ast.Constant(value=float()):
                return True
            case ast.Name(id=name) if name in _float_constants():
                return True
        if RANDOM.search(ast.unparse(side)):
            return True
    return False


def _changed_arguments(node: ast.Call) -> Iterator[tuple[ast.AST, ast.AST, str]]:
    match node.args:
        case [one, two, *_] if ast.unparse(node.func) not in ("min", "max") and not (
            isinstance(one, ast.Starred | ast.Constant)
            or isinstance(two, ast.Starred)
            or ast.unparse(one) == ast.unparse(two)
        ):
            swapped = copy.deepcopy(node)
            swapped.args[0], swapped.args[1] = two, one
            yield node, swapped, "arguments swapped"
    for index, keyword in enumerate(node.keywords):
        if not _is_left(keyword.arg):
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
