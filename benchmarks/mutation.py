"""How many one-line faults the tests notice: changes drawn by a seed over `src/paecli`.

    python benchmarks/line_map.py lines/
    python benchmarks/mutation.py --seed 1 --count 200 --lines lines/

`mutants.py` says what is changed. The tests that execute the changed line run on each, its
module's own and quick ones first (`--lines`), until one fails, up to `--budget` seconds of
processor time. Where no test executes it, and without a map, these do: `tests/a/test_b.py` of
`a/b.py`, those that import it, then its folder's. At the end the tests that failed run on the
sources as they are; what only tests that fail there have noticed counts as not noticed.

The change is put into a copy of the sources, so that tests that start `pae` see it, too. torch
and the other libraries are imported once; every change runs in a child of that process.
`--untested` prints what no test executes.
"""

import argparse
import compileall
import gc
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

import pytest

from line_map import executed
from mutants import SOURCES, Mutant, all_mutants, draw

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
LIBRARIES = (
    "torch", "torch.func", "torch.utils.data", "safetensors.torch", "scipy.stats", "scipy.ndimage",
    "sklearn.metrics", "sklearn.neural_network", "sklearn.mixture", "matplotlib.figure", "typer",
    "typer.testing", "rich.table", "pydantic", "yaml", "PIL.Image", "FrEIA.framework",
    "accelerate", "filelock",
)  # fmt: skip
KEPT_ANSWERS = ("test_kept_figures.py", "test_answers.py")  # see most of what changes an answer
READ_SOURCES = {"test_house.py", "test_architecture.py"}
REFERENCE = (
    "tests/cli/test_reference.py::test_reference_is_what_the_commands_say"  # and the commands
)
HUNG = 30.0  # seconds of processor time in one test
DIED: dict[str, Any] = {"code": 1, "failed": ["(ended the process)"], "spent": False, "passed": 0}
LONGEST = 900.0  # seconds on the clock, for tests that wait for other processes
MOST_FILES = 12  # of tests that are imported for one change


@dataclass(frozen=True)
class Plan:
    """Test files to run, which of their tests in which order (None: all), and which not."""

    files: list[str]
    order: dict[str, int] | None
    skipped: frozenset[str] = frozenset()


class Chooser:
    """Chooses tests of changes by the lines that each test executes."""

    def __init__(self, folder: Path | None) -> None:
        self.lines, self.seconds = executed(folder) if folder else ({}, {})

    def tests_at(self, mutant: Mutant) -> set[str]:
        """Returns the tests that execute a statement; those of its module if imports do."""
        own = self.lines.get(mutant.name, {})
        first, last = mutant.statement
        found = set().union(*(own.get(line, set()) for line in range(first, last + 1)))
        if "" in found and found <= {"", "between"}:
            found = set().union(*own.values())
        return {test for test in found if "::" in test and test in self.seconds}

    def is_measured(self, folder: str) -> bool:
        """Tells whether the map has the tests of a folder."""
        return any(test.startswith(f"tests/{folder}/") for test in self.seconds)

    def _by_name(self, file: Path, tests: set[str]) -> Plan:
        """Returns the module's tests by their names, after the first file the kept answers."""
        files = [path for path in tests_of(file) if Path(path).name not in KEPT_ANSWERS]
        named = {test.partition("::")[0] for test in tests}
        kept = [str(TESTS / name) for name in KEPT_ANSWERS if f"tests/{name}" in named]
        skipped = {
            test for test in self.seconds if Path(test.partition("::")[0]).name in KEPT_ANSWERS
        }
        return Plan([*files[:1], *kept, *files[1:]], None, frozenset(skipped - tests))

    def cost(self, test: str) -> float:
        """Returns the seconds of a test."""
        return self.seconds.get(test, 5.0)

    def plan(self, mutant: Mutant) -> Plan:
        """Returns what to run: the module's own tests first, then quick ones."""
        tests = self.tests_at(mutant)
        relative = mutant.file.relative_to(SOURCES)
        if not self.is_measured(relative.parts[0]):
            return self._by_name(mutant.file, tests)
        if not tests:
            return Plan(tests_of(mutant.file), None)
        if relative.parts[0] == "cli":
            tests.add(REFERENCE)
        by_file: dict[str, list[str]] = {}
        for test in tests:
            if Path(test.partition("::")[0]).name not in READ_SOURCES:
                by_file.setdefault(test.partition("::")[0], []).append(test)

        def rank(file: str) -> tuple[bool, bool, bool, float]:
            path = Path(file)
            mirrored = path.name == f"test_{relative.stem}.py"
            near = path.parent == Path("tests") / relative.parent
            kept = path.name in KEPT_ANSWERS
            return not (mirrored and near), not kept, not near, min(map(self.cost, by_file[file]))

        files = sorted(by_file, key=rank)[:MOST_FILES]
        order = [test for file in files for test in sorted(by_file[file], key=self.cost)]
        return Plan(files, {test: place for place, test in enumerate(order)})


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

    def __init__(self, budget: float, plan: Plan) -> None:
        """Takes seconds of processor time for all tests together, and what to run."""
        self.plan = plan
        self.end = time.process_time() + budget
        self.failed: list[str] = []
        self.spent, self.passed = False, 0

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leaves the chosen tests, in their order."""
        items[:] = [item for item in items if item.nodeid not in self.plan.skipped]
        order = self.plan.order
        if order is not None:
            items[:] = sorted(
                (item for item in items if item.nodeid in order),
                key=lambda item: order[item.nodeid],
            )

    def pytest_runtest_setup(self) -> None:
        """Ends the run when the budget is spent; limits the test that comes."""
        if time.process_time() > self.end:
            self.spent = True
            pytest.exit("the budget is spent", returncode=0)
        signal.setitimer(signal.ITIMER_PROF, HUNG)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Remembers failures."""
        if report.failed:
            self.failed.append(report.nodeid)
        self.passed += report.when == "call" and report.passed

    def pytest_collectreport(self, report: Any) -> None:
        """A module that cannot be imported fails."""
        if report.failed:
            self.failed.append(report.nodeid)


def outcome(plan: Plan, tree: Path, budget: float, *, stop: bool = True) -> dict[str, Any]:
    """Runs tests on the sources in `tree`, in a child; returns what came out.

    Args:
        plan: the tests.
        tree: holds the package.
        budget: seconds of processor time.
        stop: at the first failure.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # never returns: unwinding would remove the copied sources
        try:
            told = _run(plan, tree, budget, stop)
        except BaseException as error:
            told = {"broken": f"{error!r:.500}"}
        os.write(writing, json.dumps(told).encode())
        os._exit(0)
    os.close(writing)
    end = time.monotonic() + LONGEST
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(reading)
            return DIED | {"failed": ["(took too long)"]}
        time.sleep(0.05)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    return json.loads(text) if text else DIED


def _run(plan: Plan, tree: Path, budget: float, stop: bool) -> dict[str, Any]:
    """Runs tests in this process, which has imported nothing of the package."""
    os.setsid()
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    signal.signal(signal.SIGPROF, _stop_hung)
    sys.path.insert(0, str(tree))
    os.environ["PYTHONPATH"] = str(tree)
    os.chdir(ROOT)
    watch = Watch(budget, plan)
    words = ["-q", "-p", "no:cacheprovider", *(["-x"] if stop else []), *plan.files]
    code = pytest.main(words, plugins=[watch])
    return {
        "code": int(code),
        "failed": watch.failed,
        "spent": watch.spent,
        "passed": watch.passed,
        "seconds": round(time.process_time(), 1),
    }


def _stop_hung(*_unused: object) -> None:
    raise TimeoutError("the test hangs")


def copy_sources(tree: Path) -> None:
    """Copies the package; compiled files are checked by content, since changes keep the time."""
    shutil.copytree(SOURCES, tree / "paecli", ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(
        tree, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH, workers=1
    )


def fail_anyway(tests: set[str], tree: Path) -> set[str]:
    """Returns the tests that fail on the sources as they are."""
    files = sorted({test.partition("::")[0] for test in tests})
    plan = Plan(files, {test: place for place, test in enumerate(sorted(tests))})
    return set(outcome(plan, tree, LONGEST, stop=False)["failed"]) & tests if tests else set()


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


def main() -> None:
    """Prints every change with its fate, and the share that survived."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--start", type=int, default=0, help="leave out so many of them")
    parser.add_argument("--only", default="", help="of files with this in their path")
    parser.add_argument("--lines", type=Path, help="a folder that line_map.py made")
    parser.add_argument("--budget", type=float, default=60.0, help="processor seconds a change")
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
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    fates: list[tuple[Mutant, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_sources(tree)
        for number, mutant in enumerate(drawn, 1):
            place = tree / "paecli" / mutant.name
            place.write_text(mutant.source())
            found = outcome(chooser.plan(mutant), tree, options.budget)
            shutil.copyfile(mutant.file, place)
            if "broken" in found:  # pytest itself, which is no verdict
                raise SystemExit(found["broken"])
            survived = found["code"] in (0, 5)
            fates.append((mutant, "" if survived else (found["failed"] or ["?"])[0]))
            fate = "SURVIVED" if survived else "noticed"
            fate += " (budget)" if survived and found["spent"] else ""
            print(
                f"{number}/{len(drawn)} {fate} {found.get('seconds', '')} s "
                f"{mutant.describe()} <- {found['passed']} passed, {fates[-1][1]}",
                flush=True,
            )
        wrong = fail_anyway({test for _, test in fates if "::" in test}, tree)
    for test in wrong:
        print(f"fails without a change: {test}")
    survivors = [mutant.describe() for mutant, test in fates if not test or test in wrong]
    share = len(survivors) / max(len(drawn), 1)
    print(f"\n{len(survivors)} of {len(drawn)} survived ({share:.1%}), seed {options.seed}:")
    print(*survivors, sep="\n")


if __name__ == "__main__":
    main()
