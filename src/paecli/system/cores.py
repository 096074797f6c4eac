"""How many cores this process may use, and which of several processes it is."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path


@cache
def available_cores(root: Path = Path("/")) -> int:
    """Counts the cores this process may use: its affinity, and its container's share of time.

    Args:
        root: where `proc` and `sys` are; tests have their own.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        cores = os.cpu_count() or 1
    quota = _quota(root)
    return cores if quota is None else max(1, min(cores, int(quota)))


def process_count() -> int:
    """Returns how many processes torchrun started to do one job together; 1 without it."""
    return int(_from_torchrun("WORLD_SIZE", "1"))


def process_index() -> int:
    """Returns which of them this one is; the first, 0, prints and writes."""
    return int(_from_torchrun("RANK", "0"))


def _from_torchrun(name: str, alone: str) -> str:
    """Reads what torchrun sets; other launchers set some of it, but not its own run's number."""
    return os.environ.get(name, alone) if "TORCHELASTIC_RUN_ID" in os.environ else alone


def _quota(root: Path) -> float | None:
    """Returns the smallest limit on processor time, in cores, of this process's control groups.

    Version 2 keeps `quota period` in `cpu.max`, version 1 in two files of the controller `cpu`.
    Inside a container the path that /proc tells may be the host's; the root then has the limit.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    limits: list[float] = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        names = controllers.split(",")
        if controllers == "":
            limits += _limits(root / "sys/fs/cgroup", path, _read_version_2)
        elif "cpu" in names:
            for folder in {controllers, "cpu", "cpu,cpuacct"}:
                limits += _limits(root / "sys/fs/cgroup" / folder, path, _read_version_1)
    return min(limits, default=None)


def _limits(mount: Path, path: str, read: Callable[[Path], float | None]) -> list[float]:
    """Reads the limits of a group and of all above it."""
    group = mount / path.strip("/")
    folders = [group, *group.parents] if path.strip("/") else [mount]
    inside = [folder for folder in folders if folder == mount or mount in folder.parents]
    values = [read(folder) for folder in inside]
    return [value for value in values if value is not None]


def _read_version_2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # `max` is no limit
        return None


def _read_version_1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
