"""Two processes under torchrun give what one process gives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from paecli.api import load
from paecli.store.runs import load_with_header

# no augmentation and no dropout: each process would draw its own
CONFIG = """
autoencoder:
  network: mlp
  network_options: {width: 32, blocks: 1}
  latent_size: 4
  optimiser: {method: METHOD, epochs: 2, batch_size: 32, precision: fp32}
"""


def train(folder: Path, run: str, *launcher: str) -> Path:
    command = [*launcher, "-m", "paecli", "train-ae", "mnist-mini", "--limit", "256", "--json"]
    command += ["--device", "cpu", "--config", str(folder / "config.yaml"), "--out", run]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    # torch before 2.10 tells of its own connections there
    printed = [line for line in result.stdout.splitlines() if not line.startswith("[Gloo]")]
    assert len(printed) == 1  # one process prints
    return folder / run


# Muon rounds to bfloat16, which makes more of the order of summation than AdamW does
@pytest.mark.parametrize(
    ("method", "weights", "error"), [("adamw", 1e-4, 1e-5), ("muon", 1e-2, 1e-4)]
)
def test_two_processes_train_as_one(
    tmp_path: Path, method: str, weights: float, error: float
) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.replace("METHOD", method))
    one = train(tmp_path, "one", sys.executable)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    two = train(tmp_path, "two", *torchrun, "--nproc-per-node", "2")
    first, second = load(one).state_dict(), load(two).state_dict()
    for name, value in first.items():
        assert torch.allclose(value, second[name], atol=weights), name
    metrics = [load_with_header(run)[1].metrics["test_mse"] for run in (one, two)]
    assert abs(metrics[0] - metrics[1]) < error
