"""The checks of `on_a_device.py`, in a process of their own."""

import subprocess
import sys
from pathlib import Path


def test_a_model_does_the_same_on_another_device() -> None:
    checks = Path(__file__).with_name("on_a_device.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(checks)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-5000:]
