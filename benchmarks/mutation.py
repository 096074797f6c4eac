"""How many one-line faults the tests notice: changes drawn by a seed over `src/paecli`.

    python benchmarks/line_map.py lines/
    python benchmarks/mutation.py --seed 1 --count 200 --lines lines/

`mutants.py` says what is changed. The tests that execute the changed line run on each, its
module's own and quick ones first (`--lines`), until one fails, up to `--budget` seconds of
processor time. Where no test executes it, and without a map, these do: `tests/a/test_b.py` of
`a/b.py`, those that import it, then its folder's. At the end the tests that failed run on the
sources as they are; what only tests that fail there have noticed counts as not noticed.

The change is put into a copy of the sources, so that tests that start `pae` see it, too, and into
the functions of a process that has collected the tests (`warm_tests.py`). `--untested` prints
what no test executes.
"""

import argparse
import importlib
import math
import os
import shutil
import sys
import tempfile
import time
from compileall import compile_dir
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

import pytest

from line_map import ELSEWHERE, FIXTURE, executed
from mutants import SOURCES, Mutant, all_mutants, draw
from warm_tests import ROOT, WORDS, Cold, Outcome, Warm, changed_on_disk, functions_around

TESTS = ROOT / "tests"
LIBRARIES = (
    "torch", "torch.func", "torch.utils.data", "safetensors.torch", "scipy.stats", "scipy.ndimage",
    "sklearn.metrics", "sklearn.neural_network", "sklearn.mixture", "matplotlib.figure", "typer",
    "typer.testing", "rich.table", "pydantic", "yaml", "PIL.Image", "FrEIA.framework",
    "accelerate", "filelock",
)  # fmt: skip
# see most of what changes an answer
KEPT_ANSWERS = (
    "test_kept_figures.py", "test_kept_models.py", "test_kept_restorations.py", "test_answers.py",
)  # fmt: skip
READ_SOURCES = {"test_house.py", "test_architecture.py"}
REFERENCE = (
    "tests/cli/test_reference.py::test_reference_is_what_the_commands_say"  # and the commands
)
MISTAKES = "tests/cli/test_start.py::"  # in another process: on no line of the map
HANDED_ON = "tests/test_handed_on.py"  # reads the sources: on no line of the map
ONE_DEFAULT = f"{HANDED_ON}::test_an_option_has_one_default"
NUMBERS = "tests/test_kept_numbers.py::test_numbers_are_as_they_were_chosen"  # likewise
QUICK = 0.5  # seconds
UNKNOWN = 5.0  # seconds of a test that the map has not
CHECK = 1200.0  # seconds for the tests that failed, on the sources as they are


class Chooser:
    """Chooses tests of changes by the lines that each test executes."""

    def __init__(self, folder: Path | None) -> None:
        self.lines, self.seconds = executed(folder) if folder else ({}, {})

    def _contexts(self, mutant: Mutant) -> set[str]:
        own = self.lines.get(mutant.name, {})
        first, last = mutant.statement
        found: set[str] = set().union(*(own.get(line, set()) for line in range(first, last + 1)))
        if "" in found and found <= {"", "between"}:
            found = set().union(*own.values())
        return found

    def tests_at(self, mutant: Mutant) -> set[str]:
        """Returns the tests that execute a statement; those of its module if imports do."""
        return {test for test in self._contexts(mutant) if "::" in test}

    def is_in_a_fixture(self, mutant: Mutant) -> bool:
        """Tells whether a fixture that tests share executes it."""
        return any(context.startswith(FIXTURE) for context in self._contexts(mutant))

    def cost(self, test: str) -> float:
        """Returns the seconds of a test."""
        return self.seconds.get(test, UNKNOWN)

    def order(self, mutant: Mutant, known: set[str]) -> list[str]:
        """Returns what to run of the tests there are: first of all those that read the sources."""
        return [*self.reading(mutant, known), *self._executing(mutant, known)]

    def reading(self, mutant: Mutant, known: set[str]) -> list[str]:
        """Returns the tests that read the sources; the change need not be imported for these."""
        tests = [f"{HANDED_ON}::test_a_name_that_both_know_is_handed_on[{mutant.name}]"]
        if is_in_a_head(mutant):
            tests = [f"{NUMBERS}[{mutant.name}]", ONE_DEFAULT, *tests]
        return [test for test in tests if test in known]

    def _executing(self, mutant: Mutant, known: set[str]) -> list[str]:
        """Returns tests that execute it: quick ones first, the module's own before others."""
        tests = self.tests_at(mutant) & known
        if not tests:
            files = {path: place for place, path in enumerate(tests_of(mutant.file))}
            tests = {test for test in known if test.partition("::")[0] in files}
            return sorted(tests, key=lambda test: (files[test.partition("::")[0]], self.cost(test)))
        relative = mutant.file.relative_to(SOURCES)
        # its own, also those that the map has elsewhere: they may start processes, or be newer
        own = f"tests/{relative.parent.as_posix()}/test_{relative.stem}.py"
        tests |= {test for test in known if test.startswith(own)}
        if relative.parts[0] == "cli":
            tests |= {REFERENCE} & known

        def rank(test: str) -> tuple[bool, bool, bool, bool, str, float]:
            path = Path(test.partition("::")[0])
            near = path.parent == Path("tests") / relative.parent
            mirrored = near and path.name == f"test_{relative.stem}.py"
            kept = path.name in KEPT_ANSWERS
            is_slow = self.cost(test) > QUICK * (6 if kept else 1)
            return is_slow, not mirrored, not kept, not near, str(path), self.cost(test)

        ordered = sorted(tests, key=rank)
        if relative.parts[0] == "cli":
            slow = sum(rank(test)[0] for test in ordered)
            others = {test for test in known if test.startswith(MISTAKES)} - tests
            ordered[len(ordered) - slow : len(ordered) - slow] = sorted(others)
        return ordered


def is_in_a_head(mutant: Mutant) -> bool:
    """Tells whether a change is in a default or another thing that imports execute."""
    return not functions_around(mutant)


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
    return [
        str(path.relative_to(ROOT))
        for path in dict.fromkeys(order)
        if path.name not in READ_SOURCES
    ]


class Run:
    """A pytest plugin that runs tests on every change, in place of all tests."""

    def __init__(
        self, drawn: list[Mutant], chooser: Chooser, tree: Path, cold: Cold, budget: float
    ) -> None:
        self.drawn, self.chooser, self.tree, self.cold = drawn, chooser, tree, cold
        self.budget, self.end = budget, math.inf
        self.shared: list[Any] = []
        self.noticed_by: dict[Mutant, str] = {}
        self.ran = 0

    def pytest_fixture_setup(self, fixturedef: Any) -> None:
        """Remembers fixtures that all tests share."""
        if fixturedef.scope == "session":
            self.shared.append(fixturedef)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Runs all changes, then the tests that failed on the sources as they are."""
        if session.testsfailed:
            raise SystemExit("some tests cannot be collected")
        warm = Warm(session, self.tree, self.shared)
        users = [
            test
            for test, item in warm.items.items()
            if "model_file" in getattr(item, "fixturenames", ())
        ]
        first = min(users, key=self.chooser.cost)
        directly = next(test for test in warm.items if test.startswith("tests/test_"))
        warm.begin(first, directly)
        for number, mutant in enumerate(self.drawn, 1):
            if time.monotonic() > self.end:
                break
            with changed_on_disk(mutant, self.tree):
                found = self.outcome(mutant, warm)
            self._tell(f"{number}/{len(self.drawn)}", mutant, found)
        failed = sorted({test for test in self.noticed_by.values() if "::" in test})
        again = warm.run([test for test in failed if test in warm.items], CHECK, stop=False)
        print(f"{again.get('passed')} of {len(failed)} tests that noticed pass without a change")
        wrong = set(again["failed"])
        for test in wrong:
            print(f"fails without a change: {test}")
        self.noticed_by = {
            mutant: test for mutant, test in self.noticed_by.items() if test not in wrong
        }
        return True

    def outcome(self, mutant: Mutant, warm: Warm) -> Outcome:
        """Runs the tests of a change."""
        tests = self.chooser.order(mutant, set(warm.items))
        functions = warm.replacements(mutant)
        if functions is None:
            quick = warm.run(self.chooser.reading(mutant, set(warm.items)), self.budget)
            if quick["failed"] or "broken" in quick:
                return quick
            return self.cold.run(tests, self.budget) | {"cold": True}
        in_fixture = self.chooser.is_in_a_fixture(mutant)
        return warm.run(tests, self.budget, functions, fixtures_too=in_fixture)

    def _tell(self, number: str, mutant: Mutant, found: Outcome) -> None:
        if "broken" in found:  # pytest itself, which is no verdict
            raise SystemExit(found["broken"])
        self.ran += 1
        if found["failed"]:
            self.noticed_by[mutant] = found["failed"][0]
        fate = "noticed" if found["failed"] else "SURVIVED"
        if found["spent"] and not found["failed"]:
            fate += " (budget)"
        print(
            f"{number} {fate} {found.get('seconds', '')} s{' cold' if 'cold' in found else ''} "
            f"{mutant.describe()} <- {found['passed']} passed, {self.noticed_by.get(mutant, '')}",
            flush=True,
        )


def copy_sources(tree: Path) -> None:
    """Copies the package; compiled files are checked by content, since changes keep the time."""
    shutil.copytree(SOURCES, tree / "paecli", ignore=shutil.ignore_patterns("__pycache__"))
    compile_dir(tree, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH, workers=1)


def print_untested(chooser: Chooser, only: str) -> None:
    """Prints the lines that can be changed and that no test executes, a file a row."""
    untested: dict[str, list[int]] = {}
    by_line = all_mutants(only)
    for (_, line), mutants in by_line.items():
        if not chooser.tests_at(mutants[0]):
            untested.setdefault(mutants[0].name, []).append(line)
    for name, lines in untested.items():
        print(f"{name}: {', '.join(map(str, lines))}")
    print(f"{sum(map(len, untested.values())):,} of {len(by_line):,} lines")


def run(drawn: list[Mutant], chooser: Chooser, budget: float, minutes: float) -> Run:
    """Runs the tests of each change for so many minutes; prints what comes out."""
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    for library in LIBRARIES:
        importlib.import_module(library)
    torch = importlib.import_module("torch")  # whose forward mode imports a compiler, for seconds
    torch.func.jvp(torch.sin, (torch.ones(1),), (torch.ones(1),))
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder).resolve() / "sources"
        copy_sources(tree)
        os.environ["PYTHONPATH"] = str(tree)
        plugin = Run(drawn, chooser, tree, Cold(tree), budget)
        plugin.end = time.monotonic() + 60 * minutes
        sys.path[:0] = [str(tree), str(ROOT)]  # processes that tests spawn import the tests
        files = [
            str(path.relative_to(ROOT))
            for path in sorted(TESTS.rglob("test_*.py"))
            if not any(word in str(path) for word in ELSEWHERE)
        ]
        pytest.main([*WORDS, "--basetemp", f"{folder}/tests", *files], plugins=[plugin])
    return plugin


def main() -> None:
    """Prints every change with its fate, and the share that survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--start", type=int, default=0, help="leave out so many of them")
    parser.add_argument("--only", default="", help="of files with this in their path")
    parser.add_argument("--lines", type=Path, help="a folder that line_map.py made")
    parser.add_argument("--budget", type=float, default=60.0, help="processor seconds a change")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin none after these")
    parser.add_argument("--list", action="store_true", help="print the changes and run nothing")
    parser.add_argument("--untested", action="store_true", help="print lines that no test executes")
    options = parser.parse_args()
    chooser = Chooser(options.lines)
    if options.untested:
        print_untested(chooser, options.only)
        return
    drawn = draw(options.count, options.seed, options.only)[options.start :]
    if options.list:
        for each in drawn:
            print(f"{each.describe()} <- {len(chooser.tests_at(each))} tests")
        return
    ran = run(drawn, chooser, options.budget, options.minutes)
    survivors = [each.describe() for each in drawn[: ran.ran] if each not in ran.noticed_by]
    share = len(survivors) / max(ran.ran, 1)
    print(f"\n{len(survivors)} of {ran.ran} survived ({share:.1%}), seed {options.seed}:")
    print(*survivors, sep="\n")


if __name__ == "__main__":
    main()
