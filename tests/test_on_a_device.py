"""Runs the checks of `on_a_device.py` in a process of their own; see there why."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TRIES = 2  # the experimental part of torch that the fake device stands on may crash the interpreter


def test_a_model_does_on_another_device_what_it_does_here() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    for _ in range(TRIES):
        done = subprocess.run(
            [*command, "-p", "no:xdist", str(HERE / "on_a_device.py")],
            cwd=HERE.parent, capture_output=True, text=True, check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        if done.returncode >= 0:  # it was not a signal that ended it
            break
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
