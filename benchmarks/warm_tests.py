"""A process that has collected the tests once, and runs some of them on changed code in children.

Importing torch, the package and the tests, and training the model that tests share, take longer
than most tests. Here that happens once; a child begins with all of it, takes the changed code into
the functions that are there already, and runs its tests. What cannot be put in that way (code
that runs when a module is imported) runs in `Cold`, which imports everything anew.
"""

import ast
import gc
import importlib
import json
import multiprocessing
import os
import pkgutil
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import _lru_cache_wrapper
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

from mutants import SOURCES, Mutant

ROOT = SOURCES.parent.parent
HUNG = 30.0  # seconds of processor time in one test
LONGEST = 600.0  # seconds on the clock, for tests that wait for other processes
DIED: dict[str, Any] = {"failed": ["(ended the process)"], "spent": False, "passed": 0}
WORDS = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist"]
Outcome = dict[str, Any]
"""`failed` tests, how many `passed`, whether the budget is `spent`, processor `seconds`."""


class Watch:
    """A pytest plugin that remembers what failed, and counts what passed."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.passed = 0

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Remembers failures."""
        if report.failed:
            self.failed.append(report.nodeid)
        self.passed += report.when == "call" and report.passed

    def pytest_collectreport(self, report: Any) -> None:
        """A module that cannot be imported fails."""
        if report.failed:
            self.failed.append(report.nodeid)


class Warm:
    """Runs tests that are collected already, in children with changed functions."""

    def __init__(self, session: pytest.Session, tree: Path, shared: list[Any]) -> None:
        """Takes the collected tests, the folder with the package, and the shared fixtures."""
        self.items = {item.nodeid: item for item in session.items}
        self.tree, self.shared = tree, shared
        self.config = session.config
        for module in pkgutil.walk_packages([str(tree / "paecli")], "paecli."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)

    def begin(self, first: str, second: str) -> None:
        """Runs a test that uses the shared fixtures; they live on as if `second` came next."""
        self.config.hook.pytest_runtest_protocol(
            item=self.items[first], nextitem=self.items[second]
        )
        self.functions: dict[tuple[str, str, int], list[FunctionType]] = {}
        self.caches: list[Any] = []
        for each in gc.get_objects():
            if type(each) is FunctionType and self._is_own(each.__code__):
                code = each.__code__
                key = (code.co_filename, code.co_qualname, code.co_firstlineno)
                self.functions.setdefault(key, []).append(each)
            elif type(each) is _lru_cache_wrapper and each.__module__.startswith("paecli"):
                self.caches.append(each)
        gc.collect()
        gc.freeze()

    def _is_own(self, code: CodeType) -> bool:
        return code.co_filename.startswith(str(self.tree))

    def replacements(self, mutant: Mutant) -> list[tuple[FunctionType, CodeType]] | None:
        """Returns the functions to change and their new code; None where that does not do."""
        file = str(self.tree / "paecli" / mutant.name)
        within = functions_around(mutant)
        codes = {
            (code.co_qualname, code.co_firstlineno): code
            for code in _all_code(compile(mutant.source(), file, "exec", dont_inherit=True))
        }
        found = [
            (function, codes[key])
            for key in within
            for function in self.functions.get((file, *key), [])
        ]
        if not within or (file, *within[0]) not in self.functions:
            return None
        if any(old.__code__.co_freevars != new.co_freevars for old, new in found):
            return None
        return found

    def run(
        self,
        tests: list[str],
        budget: float,
        changed: list[tuple[FunctionType, CodeType]] | None = None,
        *,
        fixtures_too: bool = False,
        stop: bool = True,
    ) -> Outcome:
        """Runs tests in a child.

        Args:
            tests: in their order.
            budget: seconds of processor time for all of them.
            changed: functions and the code they get.
            fixtures_too: make shared fixtures anew.
            stop: at the first failure.
        """

        def work() -> Outcome:
            for function, code in changed or []:
                function.__code__ = code
            for cache in self.caches:
                cache.cache_clear()
            for fixture in self.shared if fixtures_too else []:
                fixture.cached_result = None
            return self._run([self.items[test] for test in tests], budget, stop)

        return in_child(work)

    def _run(self, items: list[pytest.Item], budget: float, stop: bool) -> Outcome:
        watch = Watch()
        self.config.pluginmanager.register(watch)
        spent = False
        for item, follower in zip(items, [*items[1:], None], strict=True):
            signal.setitimer(signal.ITIMER_PROF, HUNG)
            self.config.hook.pytest_runtest_protocol(item=item, nextitem=follower)
            spent = time.process_time() > budget
            if spent or (stop and watch.failed):
                break
        return {
            "failed": watch.failed,
            "spent": spent,
            "passed": watch.passed,
            "seconds": round(time.process_time(), 1),
        }


class Cold:
    """A process that has imported the libraries alone, for changes of what imports execute."""

    def __init__(self, tree: Path) -> None:
        context = multiprocessing.get_context("fork")
        self.here, there = context.Pipe()
        self.process = context.Process(
            target=_serve_cold, args=(self.here, there, tree), daemon=True
        )
        self.process.start()

    def run(self, tests: list[str], budget: float) -> Outcome:
        """Runs tests in their order until one fails or the budget is spent."""
        self.here.send((tests, budget))
        found: Outcome = self.here.recv()
        return found


def _serve_cold(other: Connection, connection: Connection, tree: Path) -> None:
    other.close()  # or its end would not be seen
    while True:
        try:
            tests, budget = connection.recv()
        except EOFError:
            return
        connection.send(in_child(lambda: _run_anew(tests, tree, budget)))  # noqa: B023 (at once)


def _run_anew(tests: list[str], tree: Path, budget: float) -> Outcome:
    order = {test: place for place, test in enumerate(tests)}
    watch, spent = Watch(), False

    class Chosen:
        """Leaves the chosen tests, in their order, and ends when the budget is spent."""

        def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
            items[:] = sorted(
                (item for item in items if item.nodeid in order),
                key=lambda item: order[item.nodeid],
            )

        def pytest_runtest_setup(self) -> None:
            nonlocal spent
            spent = time.process_time() > budget
            if spent:
                pytest.exit("the budget is spent", returncode=0)
            signal.setitimer(signal.ITIMER_PROF, HUNG)

    sys.path.insert(0, str(tree))
    files = dict.fromkeys(test.partition("::")[0] for test in tests)
    code = pytest.main([*WORDS, "-x", *files], plugins=[watch, Chosen()])
    failed = watch.failed or (["(pytest itself)"] if code not in (0, 1, 5) else [])
    return {
        "failed": failed,
        "spent": spent,
        "passed": watch.passed,
        "seconds": round(time.process_time(), 1),
    }


def in_child(work: Callable[[], Outcome]) -> Outcome:
    """Runs a function in a child of this process, silently; says so if it ends or hangs."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # never returns: unwinding would remove the copied sources
        try:
            os.setsid()
            sink = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):
                os.dup2(sink, stream)
            signal.signal(signal.SIGPROF, _stop_hung)
            os.chdir(ROOT)
            told = work()
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
        time.sleep(0.02)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    return json.loads(text) if text else DIED


def _stop_hung(*_unused: object) -> None:
    raise TimeoutError("the test hangs")


def functions_around(mutant: Mutant) -> list[tuple[str, int]]:
    """Returns qualified name and first line of the functions whose body has a change.

    The outermost comes first. A head (defaults, decorators) belongs to what is around it.
    """
    found: list[tuple[str, int]] = []
    node: ast.AST = ast.parse(mutant.file.read_text())
    start, end = mutant.span[:2], mutant.span[2:]
    prefix = ""
    while True:
        inner = [
            child
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case)
            and _begins(child) <= start
            and end <= _ends(child)
        ]
        if not inner:
            return found
        node = inner[0]
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            name = prefix + node.name
            prefix = f"{name}." if isinstance(node, ast.ClassDef) else f"{name}.<locals>."
            if (node.body[0].lineno, node.body[0].col_offset) > start:
                return found
            if isinstance(node, ast.FunctionDef):
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                found.append((name, first))


def _begins(node: Any) -> tuple[int, int]:
    decorators = getattr(node, "decorator_list", [])
    first = decorators[0] if decorators else node
    if isinstance(node, ast.match_case):
        first = node.pattern
    return (first.lineno, 0 if decorators else first.col_offset)


def _ends(node: Any) -> tuple[int, int]:
    last = node.body[-1] if isinstance(node, ast.match_case) else node
    return (last.end_lineno, last.end_col_offset)


def _all_code(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all_code(constant)


@contextmanager
def changed_on_disk(mutant: Mutant, tree: Path) -> Iterator[None]:
    """Puts a change into the copied sources, for tests that start `pae`, and takes it out again."""
    place = tree / "paecli" / mutant.name
    place.write_text(mutant.source())
    try:
        yield
    finally:
        shutil.copyfile(mutant.file, place)
