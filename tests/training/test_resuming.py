"""Interrupted training goes on as if nothing had happened, and is not replaced by accident."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from paecli.api import load
from paecli.store.checkpoint import read_header
from paecli.system.errors import TrainingError
from paecli.system.progress import NullProgress, NullTask
from paecli.train import train_autoencoder, train_flow
from paecli.training.loop import TrainingInterruptedError
from paecli.training.run_folder import settings_of_interrupted_flow, settings_of_interrupted_run
from paecli.training.settings import RunSettings, check, merge


class InterruptingTask(NullTask):
    """Sends the signal of Ctrl-C after some steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, steps: int = 1, **shown: str) -> None:
        self.left -= steps
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


class InterruptingProgress(NullProgress):
    def __init__(self, after: int) -> None:
        self.after = after

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[InterruptingTask]:
        del description, total
        yield InterruptingTask(self.after)


@pytest.mark.parametrize("step", [1, 5, 6, 7, 13])
def test_resumed_autoencoder_equals_an_undisturbed_one(
    small_run: RunSettings, trained_run: Path, tmp_path: Path, step: int
) -> None:
    broken = tmp_path / "broken"
    with pytest.raises(TrainingInterruptedError, match="--resume"):
        train_autoencoder(
            small_run, run_dir=broken, device="cpu", progress=InterruptingProgress(step)
        )
    settings = settings_of_interrupted_run(broken)
    assert settings == small_run
    train_autoencoder(settings, run_dir=broken, device="cpu", resume=True)
    hashes = [
        read_header(run / "autoencoder.safetensors").autoencoder_hash
        for run in (trained_run, broken)
    ]
    assert hashes[0] == hashes[1]


NETWORKS = {
    "mlp": {"width": 16, "blocks": 1},
    "conv": {"channels": 4},
    "resnet": {"channels": 4, "width": 16},
    "infogan": {},
}
LOSSES = {
    "ae": {"loss": "ae"},
    "ae, then map": {"loss": "ae", "map_stage": 0.5},
    "vae": {"loss": "vae"},
    "beta-vae": {"loss": "beta-vae", "capacity": 5.0, "anneal": 0.5},
    "beta0-vae": {"loss": "vae", "beta": 0.0, "posterior_sigma": 0.1},
    "flow-vae": {"loss": "flow-vae"},
}


def interrupted_and_resumed(settings: RunSettings, run_dir: Path, *, after: int) -> Path:
    """Trains stage 1 with an interruption after a step, and returns the run folder."""
    with pytest.raises(TrainingInterruptedError):
        train_autoencoder(
            settings, run_dir=run_dir, device="cpu", progress=InterruptingProgress(after)
        )
    train_autoencoder(settings, run_dir=run_dir, device="cpu", resume=True)
    return run_dir


def differing_tensors(run: Path, other: Path) -> list[str]:
    first, second = load(run).state_dict(), load(other).state_dict()
    assert first.keys() == second.keys()
    return [name for name in first if not torch.equal(first[name], second[name])]


@pytest.mark.parametrize("averaging", [0.0, 0.9])
@pytest.mark.parametrize("method", ["adamw", "muon"])
@pytest.mark.parametrize("network", NETWORKS)
def test_resuming_changes_nothing_for_any_network_and_optimiser(
    small_run: RunSettings, tmp_path: Path, network: str, method: str, averaging: float
) -> None:
    changes = {
        "network": network,
        "network_options": None,
        "optimiser": {"method": method, "averaging": averaging, "epochs": 2},
        "data": {"limit": 64},
    }
    fields = merge(small_run.model_dump(), {"autoencoder": changes})
    fields["autoencoder"]["network_options"] = NETWORKS[network]
    settings = check(fields, where="the test")
    train_autoencoder(settings, run_dir=tmp_path / "whole", device="cpu")
    resumed = interrupted_and_resumed(settings, tmp_path / "broken", after=2)
    assert differing_tensors(tmp_path / "whole", resumed) == []


@pytest.mark.parametrize("loss", LOSSES)
def test_resuming_changes_nothing_for_any_loss(
    small_run: RunSettings, tmp_path: Path, loss: str
) -> None:
    changes = {"objective": LOSSES[loss], "network": "resnet", "data": {"limit": 64}}
    fields = merge(small_run.model_dump(), {"autoencoder": changes})
    fields["autoencoder"]["network_options"] = NETWORKS["resnet"]
    settings = check(fields, where="the test")
    train_autoencoder(settings, run_dir=tmp_path / "whole", device="cpu")
    resumed = interrupted_and_resumed(settings, tmp_path / "broken", after=2)
    assert differing_tensors(tmp_path / "whole", resumed) == []


@pytest.mark.parametrize("components", [0, 3, "auto"])
def test_resumed_flow_equals_an_undisturbed_one(
    small_run: RunSettings, trained_run: Path, components: int | str
) -> None:
    chosen = {"flow": {"flow_options": {"components": components}}}
    small_run = check(merge(small_run.model_dump(), chosen), where="the test")
    train_flow(small_run.flow, run_dir=trained_run, device="cpu")
    undisturbed = load(trained_run).state_dict()
    with pytest.raises(TrainingInterruptedError):
        train_flow(
            small_run.flow,
            run_dir=trained_run,
            device="cpu",
            overwrite=True,
            progress=InterruptingProgress(8),
        )
    settings = settings_of_interrupted_flow(trained_run)
    train_flow(settings, run_dir=trained_run, device="cpu", resume=True)
    resumed = load(trained_run).state_dict()
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in undisturbed)


def test_unfinished_run_is_not_replaced_by_accident(small_run: RunSettings, tmp_path: Path) -> None:
    with pytest.raises(TrainingInterruptedError):
        train_autoencoder(
            small_run, run_dir=tmp_path, device="cpu", progress=InterruptingProgress(2)
        )
    with pytest.raises(TrainingError, match="--resume"):
        train_autoencoder(small_run, run_dir=tmp_path, device="cpu")


def test_nothing_to_resume_is_said(small_run: RunSettings, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no interrupted run"):
        train_autoencoder(small_run, run_dir=tmp_path, device="cpu", resume=True)
