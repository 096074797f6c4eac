"""Interrupted training goes on as if nothing had happened, and is not replaced by accident."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from paecli.training.run_folder import settings_of_interrupted_flow, settings_of_interrupted_run

from paecli.store.checkpoint import read_header
from paecli.store.runs import load
from paecli.system.errors import TrainingError
from paecli.system.progress import NullProgress, NullTask
from paecli.training.autoencoder import train_autoencoder
from paecli.training.flow import train_flow
from paecli.training.loop import TrainingInterruptedError
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


@pytest.mark.parametrize("components", [0, 3])
def test_resumed_flow_equals_an_undisturbed_one(
    small_run: RunSettings, trained_run: Path, components: int
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


def test_resumed_flow_vae_with_map_stage_equals_an_undisturbed_one(
    small_run: RunSettings, tmp_path: Path
) -> None:
    for name, changes in {"flow": {"loss": "flow-vae"}, "map": {"map_stage": 0.5}}.items():
        fields = merge(small_run.model_dump(), {"autoencoder": {"objective": changes}})
        settings = check(fields, where="the test")
        whole, broken = tmp_path / f"{name}-whole", tmp_path / f"{name}-broken"
        train_autoencoder(settings, run_dir=whole, device="cpu")
        with pytest.raises(TrainingInterruptedError):
            train_autoencoder(
                settings, run_dir=broken, device="cpu", progress=InterruptingProgress(11)
            )
        train_autoencoder(settings, run_dir=broken, device="cpu", resume=True)
        first, second = load(whole).state_dict(), load(broken).state_dict()
        assert all(torch.equal(first[key], second[key]) for key in first)


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
