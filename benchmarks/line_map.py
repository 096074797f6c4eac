"""Which tests execute which lines: `mutation.py` chooses the tests of a change by it.

    python benchmarks/line_map.py lines/ [tests/model ...] [--longest 4]

Writes `lines.coverage` (coverage.py's database, a context a test and one a fixture that tests
share), `seconds.json` (processor seconds of each test) and `shared.json` (the shared fixtures it
uses) into the folder. A test is stopped after `--longest` seconds of processor
time, or three times as many on the clock: by then it has been where it goes. Lines that only
other processes execute are not in it; tests that fail have no seconds. Runs
over parts of the tests may write into folders below one.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import coverage
import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES, TESTS = ROOT / "src" / "paecli", ROOT / "tests"
ELSEWHERE = ("documentation", "test_house", "test_typing", "test_page", "test_architecture")
DATA, SECONDS, SHARED = "lines.coverage", "seconds.json", "shared.json"
FIXTURE = "fixture "  # how the context of one begins


class StopTest(BaseException):
    """A test has taken long enough; no `except Exception` holds it up."""


class Recorder:
    """A pytest plugin: contexts of tests and fixtures, processor time, an end to long tests."""

    def __init__(self, measured: coverage.Coverage, longest: float) -> None:
        self.measured, self.longest = measured, longest
        self.seconds: dict[str, float] = {}
        self.used: dict[str, list[str]] = {}
        self.shared: dict[str, tuple[str, str]] = {}
        self.failed: set[str] = set()
        self.contexts = ["between"]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Sets the context of a test, its own fixtures included."""
        start = time.process_time()
        yield from self._within(item.nodeid)
        if item.nodeid not in self.failed:
            self.seconds[item.nodeid] = round(time.process_time() - start, 3)
            self.used[item.nodeid] = [
                context
                for context, (name, folder) in self.shared.items()
                if name in getattr(item, "fixturenames", ()) and item.nodeid.startswith(folder)
            ]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        """Sets the context of a fixture that is made once for several tests."""
        if fixturedef.scope == "function":
            yield
            return
        context = f"{FIXTURE}{fixturedef.argname} of {fixturedef.baseid}"
        self.shared[context] = (fixturedef.argname, fixturedef.baseid)
        yield from self._within(context)

    def _within(self, context: str) -> Iterator[None]:
        self.contexts.append(context)
        self.measured.switch_context(context)
        yield
        self.contexts.pop()
        self.measured.switch_context(self.contexts[-1])

    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> None:
        """Remembers tests that fail, or are skipped, by themselves."""
        if call.excinfo is not None and not isinstance(call.excinfo.value, StopTest):
            self.failed.add(item.nodeid)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        """Ends what takes long; a fixture others share is never ended."""
        signal.setitimer(signal.ITIMER_PROF, self.longest)
        signal.setitimer(signal.ITIMER_REAL, 3 * self.longest)  # some only wait
        yield
        for clock in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(clock, 0)


def _stop(number: int, frame: FrameType | None) -> None:
    """Ends a test, and what it has started; never within an import, of which half would stay."""
    while frame is not None:
        if "importlib._bootstrap" in frame.f_code.co_filename:
            clock = signal.ITIMER_PROF if number == signal.SIGPROF else signal.ITIMER_REAL
            signal.setitimer(clock, 0.2)
            return
        frame = frame.f_back
    here = Path(f"/proc/self/task/{os.getpid()}/children")
    for child in here.read_text().split() if here.is_file() else ():
        os.kill(int(child), signal.SIGKILL)  # a test waits for it, also when it ends
    raise StopTest


def executed(folder: Path) -> tuple[dict[str, dict[int, set[str]]], dict[str, float]]:
    """Reads the maps in a folder.

    Returns:
        For each file of the package (its path in it) the tests of each line, and the contexts of
        the shared fixtures that execute it; lines that run when the module is imported have
        the empty name among them. And the tests' seconds.
    """
    lines: dict[str, dict[int, set[str]]] = {}
    users: dict[str, set[str]] = {}
    for path in sorted(folder.rglob(SHARED)):
        for test, contexts in json.loads(path.read_text()).items():
            for context in contexts:
                users.setdefault(context, set()).add(test)
    for path in sorted(folder.rglob(DATA)):
        data = coverage.CoverageData(str(path))
        data.read()
        for name in data.measured_files():
            own = lines.setdefault(Path(name).as_posix().rpartition("/paecli/")[2], {})
            for line, tests in data.contexts_by_lineno(name).items():
                own.setdefault(line, set()).update(tests)
                own[line].update(*(users.get(test, ()) for test in tests))
    seconds: dict[str, float] = {}
    for path in sorted(folder.rglob(SECONDS)):
        seconds |= json.loads(path.read_text())
    return lines, seconds


def main() -> None:
    """Runs the tests, and writes what they execute."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("folder", type=Path)
    parser.add_argument("tests", nargs="*", type=Path, default=[TESTS])
    parser.add_argument("--longest", type=float, default=4.0)
    options = parser.parse_args()
    files = [
        file
        for each in options.tests
        for file in ([each] if each.is_file() else sorted(each.rglob("test_*.py")))
        if not any(word in str(file) for word in ELSEWHERE)
    ]
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    measured = coverage.Coverage(
        data_file=str(folder / DATA), source=[str(SOURCES)], config_file=False, messages=False
    )
    measured.erase()
    recorder = Recorder(measured, options.longest)
    for ending in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(ending, _stop)
    measured.start()
    sys.path.insert(0, str(ROOT))  # processes that tests spawn import the tests
    arguments: list[Any] = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--tb=no",
        "-o",
        "timeout=0",
    ]
    pytest.main([*arguments, *map(str, files)], plugins=[recorder])
    measured.stop()
    measured.save()
    (folder / SECONDS).write_text(json.dumps(recorder.seconds))
    (folder / SHARED).write_text(json.dumps(recorder.used))


if __name__ == "__main__":
    main()
