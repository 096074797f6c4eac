"""A run small enough to train in a second."""

from pathlib import Path

import pytest

from paecli.train import train_autoencoder
from paecli.training.settings import RunSettings, check

SMALL = {
    "autoencoder": {
        "data": {"dataset": "mnist-mini", "limit": 192},
        "network": "mlp",
        "network_options": {"width": 32, "blocks": 1, "dropout": 0.1},
        "latent_size": 4,
        "augment": {"shift": 1, "noise": 0.1},
        "optimiser": {
            "method": "muon",
            "epochs": 3,
            "batch_size": 32,
            "averaging": 0.9,
            "precision": "fp32",
        },
    },
    "flow": {
        "blocks": 2,
        "flow_options": {"width": 16, "dropout": 0.1},
        "latent_noise": 0.05,
        "optimiser": {"epochs": 3, "batch_size": 32},
    },
}


@pytest.fixture
def small_run() -> RunSettings:
    return check(SMALL, where="the test")


@pytest.fixture
def trained_run(small_run: RunSettings, tmp_path: Path) -> Path:
    train_autoencoder(small_run, run_dir=tmp_path / "run", device="cpu")
    return tmp_path / "run"
