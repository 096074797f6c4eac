"""Which tests execute which lines: `mutation.py` chooses the tests of a change by it.

    python benchmarks/line_map.py lines/ [tests/model ...] [--longest 4]

Writes `lines.coverage` (coverage.py's database, a context a test) and `seconds.json` (processor
seconds of each test) into the folder. A test is stopped after `--longest` seconds of processor
time, or three times as many on the clock: by then it has been where it goes. Lines that only
other processes execute are not in it, nor are tests that fail. Runs
over parts of the tests may write into folders below one.
"""

import argparse
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES, TESTS = ROOT / "src" / "paecli", ROOT / "tests"
ELSEWHERE = ("documentation", "test_house", "test_typing", "test_page", "test_architecture")
DATA, SECONDS = "lines.coverage", "seconds.json"


class StopTest(BaseException):
    """A test has taken long enough; no `except Exception` holds it up."""


class Recorder:
    """A pytest plugin: a coverage context a test, its processor time, and an end to long ones."""

    def __init__(self, measured: coverage.Coverage, longest: float) -> None:
        self.measured, self.longest = measured, longest
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Sets the context of a test, fixtures included."""
        self.measured.switch_context(item.nodeid)
        start = time.process_time()
        yield
        self.measured.switch_context("between")
        if item.nodeid not in self.failed:
            self.seconds[item.nodeid] = round(time.process_time() - start, 3)

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


def _stop(*_unused: object) -> None:
    raise StopTest


def executed(folder: Path) -> tuple[dict[str, dict[int, set[str]]], dict[str, float]]:
    """Reads the maps in a folder.

    Returns:
        For each file of the package (its path in it) the tests of each line; those of lines that
        run when the module is imported have the empty name among them. And the tests' seconds.
    """
    lines: dict[str, dict[int, set[str]]] = {}
    for path in sorted(folder.rglob(DATA)):
        data = coverage.CoverageData(str(path))
        data.read()
        for name in data.measured_files():
            own = lines.setdefault(Path(name).as_posix().rpartition("/paecli/")[2], {})
            for line, tests in data.contexts_by_lineno(name).items():
                own.setdefault(line, set()).update(tests)
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


if __name__ == "__main__":
    main()
