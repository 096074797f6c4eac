"""How many threads torch works with: as many as help, on a machine that does other things too.

Threads that share work wait for each other after every operation. Where another process holds a
core, all of them wait for the one that lost it, and by default they wait by spinning, which takes
the cores from whoever could go on. So threads sleep soon (`wait_passively`), and their number is
chosen by timing the work itself (`fitting`): at its start, when its speed changes, now and then.
"""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from paecli.system.cores import available_cores
from paecli.system.tuner import Tuner

logger = logging.getLogger(__name__)

Setting = int | Literal["auto"]

OPENMP_VARIABLE = "OMP_NUM_THREADS"  # what users set for any program that uses OpenMP
MOST_THREADS = 1024

# Turns of a waiting loop before a thread sleeps: GNU's OpenMP would spin for milliseconds. Alone,
# sleeping at once costs a tenth of the speed; beside busy processes, spinning costs most of it.
SPIN_TURNS = "2000"


class _State:
    """The setting of this process; None leaves torch as it is."""

    setting: Setting | None = None
    exported: str | None = None  # what we put into OPENMP_VARIABLE
    tuners: dict[str, Tuner] = {}  # noqa: RUF012  (a process has one state)
    is_inside: bool = False


def use_threads(threads: Setting = "auto") -> None:
    """Sets how many threads this process computes with.

    `pae` does it for every command. A program that uses the library calls it before it imports
    torch: only then can waiting threads be made to sleep; their number is set later too.

    Args:
        threads: a number, or `auto`: chosen by timing the work, and again when its speed changes.
            Results are the same to the bit for the same number only. A number that the user has
            put into `OMP_NUM_THREADS` is taken for the choice.

    Raises:
        ValueError: neither `auto` nor a number from 1 to 1,024.
    """
    if threads != "auto" and not 1 <= threads <= MOST_THREADS:
        raise ValueError(f"threads must be 'auto' or from 1 to {MOST_THREADS}, not {threads}")
    if threads == "auto":
        threads = _users_number() or "auto"
    _State.setting, _State.tuners = threads, {}
    wait_passively()
    count = available_cores() if threads == "auto" else threads
    if _torch():
        _set_threads(count)
    elif _users_number() != count:
        _State.exported = os.environ[OPENMP_VARIABLE] = str(count)


def parse_threads(text: str) -> Setting:
    """Reads `auto` or a number.

    Raises:
        ValueError: neither, or a number outside 1 to 1,024.
    """
    if text == "auto":
        return "auto"
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_THREADS):
        raise ValueError(f"give auto or a number from 1 to {MOST_THREADS}, not {text!r:.20}")
    return int(text)


def wait_passively() -> None:
    """Lets threads that wait for each other sleep soon, unless the user has set how they wait.

    OpenMP reads this when it is loaded, with torch or scikit-learn; later it has no effect.
    """
    if "OMP_WAIT_POLICY" in os.environ:
        return
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_TURNS)  # GNU; it wins over the policy
    os.environ.setdefault("KMP_BLOCKTIME", "0")  # LLVM and Intel, milliseconds


@contextmanager
def fitting(kind: str, units: int = 1) -> Iterator[None]:
    """Runs one lap of repeated work with the number of threads that suits it now.

    Without `use_threads`, and inside another lap, it does nothing.

    Args:
        kind: laps of one kind are timed together.
        units: how much this lap does, so that laps of different sizes compare.
    """
    if _State.setting != "auto" or _State.is_inside:
        yield
        return
    tuner = _State.tuners.setdefault(kind, Tuner(_candidates()))
    _set_threads(tuner.threads)
    _State.is_inside = True
    start = time.perf_counter()
    try:
        yield
    finally:
        _State.is_inside = False
    was_trying = tuner.is_trying
    tuner.record(time.perf_counter() - start, units)
    if was_trying and not tuner.is_trying:
        logger.debug("%d threads for %s", tuner.threads, kind)


def threads_in_use(kind: str | None = None) -> int:
    """Returns the number of threads that serve now, for one kind of work where they differ."""
    if _State.setting is None:
        return _torch().get_num_threads() if _torch() else available_cores()
    if _State.setting != "auto":
        return _State.setting
    tuner = _State.tuners.get(kind or "")
    return tuner.threads if tuner else available_cores()


def keep_threads(threads: int) -> None:
    """Goes on with a recorded number where the user asks for none: what `--resume` does."""
    if _State.setting == "auto":
        use_threads(threads)


def _candidates() -> tuple[int, ...]:
    cores = available_cores()
    powers = [2**power for power in range(cores.bit_length())]
    return tuple(sorted({*powers, cores}))


def _set_threads(count: int) -> None:
    torch = _torch()
    if torch and torch.get_num_threads() != count:
        torch.set_num_threads(count)


def _torch() -> Any:
    """Returns torch where it is loaded: what only counts threads does not load it."""
    return sys.modules.get("torch")


def _users_number() -> int | None:
    """Returns the number in `OMP_NUM_THREADS`, if the user and not this module put it there."""
    value = os.environ.get(OPENMP_VARIABLE, "")
    if value == _State.exported:
        return None
    first = value.partition(",")[0].strip()  # one number for each level of nesting
    return int(first) if first.isdigit() and int(first) > 0 else None
