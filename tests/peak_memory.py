"""How much memory a job takes at its highest, beyond what was taken before."""

from collections.abc import Callable
from pathlib import Path

import pytest

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PEAK = "5"  # what resets the highest resident size


def peak_growth(job: Callable[[], object]) -> int:
    """Runs a job and returns by how many bytes the resident size rose at most."""
    try:
        CLEAR.write_text(PEAK)
    except OSError:
        pytest.skip("this system does not tell the highest memory of a part of a process")
    before = _kilobytes("VmRSS")
    job()
    return (_kilobytes("VmHWM") - before) * 1024


def _kilobytes(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])
