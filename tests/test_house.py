"""The rules of the house: who imports whom, how long things are, what is public."""

import ast
import re
from importlib import resources
from pathlib import Path
from statistics import median, quantiles

import pytest

import paecli

PACKAGE = Path(paecli.__file__).parent
ROOT = Path(__file__).parent.parent
FILES = sorted(PACKAGE.rglob("*.py"))

LEAVES = {
    "errors", "limits", "yaml_text", "config", "progress", "files", "folders", "locks",
    "deferred_import",
}  # fmt: skip
MAY_IMPORT = {
    "cli": {"cli", "workflows", "report", "core", "data", "store", *LEAVES},
    "workflows": {"workflows", "core", "data", "store", *LEAVES},
    "report": {"report", "workflows", "core", "data", "store", *LEAVES},
    "store": {"store", "core", *LEAVES},
    "core": {"core", "errors", "progress", "deferred_import"},
    "data": {"data", *LEAVES},
    "errors": set(),
    "deferred_import": set(),
    "limits": set(),
    "yaml_text": set(),
    "config": {"errors", "limits", "yaml_text"},
    "progress": set(),
    "files": {"errors"},
    "folders": set(),
    "locks": {"errors", "folders", "progress"},
}
FORBIDDEN_IN_CORE = {"typer", "rich", "yaml", "pathlib", "os", "sys", "pydantic"}
LONGEST_FILE = 300


def name_of(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def imported_modules(tree: ast.AST) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            modules.add(node.module or "")
            if node.module == "paecli":
                modules |= {f"paecli.{alias.name}" for alias in node.names}
    return modules


def function_lengths(file: Path) -> list[int]:
    """Lines of each function's body, without its docstring."""
    lengths = []
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.FunctionDef):
            continue
        body = node.body[1:] if ast.get_docstring(node) else node.body
        if body:
            lengths.append((node.end_lineno or 0) - body[0].lineno + 1)
    return lengths


@pytest.mark.parametrize("file", [f for f in FILES if f.parent != PACKAGE], ids=name_of)
def test_imports_run_one_way(file: Path) -> None:
    layer = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    modules = imported_modules(ast.parse(file.read_text()))
    used = {module.split(".")[1] for module in modules if module.startswith("paecli.")}
    used -= {"__version__"}
    assert used <= MAY_IMPORT[layer]


@pytest.mark.parametrize("leaf", sorted(LEAVES))
def test_leaves_import_no_layer(leaf: str) -> None:
    modules = imported_modules(ast.parse((PACKAGE / f"{leaf}.py").read_text()))
    used = {module.split(".")[1] for module in modules if module.startswith("paecli.")}
    assert used <= MAY_IMPORT[leaf]
    assert "torch" not in modules


@pytest.mark.parametrize("file", sorted((PACKAGE / "core").rglob("*.py")), ids=name_of)
def test_core_is_pure_mathematics(file: Path) -> None:
    tree = ast.parse(file.read_text())
    roots = {module.split(".")[0] for module in imported_modules(tree)}
    assert not roots & FORBIDDEN_IN_CORE
    calls = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"print", "open"}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_files_stay_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= LONGEST_FILE


def test_functions_stay_short() -> None:
    lengths = [length for file in FILES for length in function_lengths(file)]
    assert median(lengths) <= 10
    assert quantiles(lengths, n=10)[-1] <= 25


def test_no_source_file_unpickles() -> None:
    for file in FILES:
        text = file.read_text("utf-8")
        assert not re.search(r"^\s*(import|from) (cPickle|dill|joblib|shelve)\b", text, re.M)
        # the name of its error may be caught: torch.load raises it for refused files
        assert not re.search(r"\b[Pp]ickle\w*\.(?!UnpicklingError)|from pickle import", text)
        assert "allow_pickle=True" not in text
        for call in re.findall(r"torch\.load\([^)]*\)", text):
            assert "weights_only=True" in call, f"{file}: {call}"


def test_public_names() -> None:
    assert paecli.__all__ == ["PAE", "PaeError", "__version__", "load"]
    assert all(getattr(paecli, name) for name in paecli.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        paecli.lode  # noqa: B018


def test_newest_release_in_the_changelog_is_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)
    assert releases[0] == paecli.__version__


def test_types_are_published() -> None:
    assert (resources.files("paecli") / "py.typed").is_file()
