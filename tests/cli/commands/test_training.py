"""`pae train-ae` and `pae train-flow` as a user types them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from paecli.cli.app import main
from paecli.cli.commands.train_ae import parse_augment, refuse_options_of_images
from paecli.cli.training_options import difference
from paecli.data import write_image
from paecli.data.sets import locations
from paecli.model.autoencoder import Autoencoder
from paecli.store.checkpoint import read_header
from paecli.system.errors import UsageError
from paecli.training.loop import TrainingLoop
from paecli.training.run_folder import state_file

QUICK = """
autoencoder:
  network: mlp
  network_options: {width: 32, blocks: 1}
  latent_size: 4
  optimiser: {epochs: 2, batch_size: 32, precision: fp32}
flow:
  blocks: 2
  flow_options: {width: 16}
  optimiser: {epochs: 2, batch_size: 32}
"""


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "quick.yaml").write_text(QUICK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "cache"))
    # a machine without data sets, even if this one has some
    monkeypatch.delenv(locations.DATA_VARIABLE, raising=False)
    monkeypatch.setattr(locations, "SYSTEM_FOLDER", tmp_path / "system")
    return tmp_path


@pytest.fixture
def pae(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Runs the command in this process, errors mapped as at the shell."""

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["pae", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return Outcome(int(ended.value.code or 0), *capfd.readouterr())

    return run


def test_both_stages_from_the_command_line(folder: Path, pae: Callable[..., Outcome]) -> None:
    first = pae("train-ae", "mnist-mini", "--config", "quick.yaml", "--limit", "128", "--json")
    assert first.code == 0, first.err
    report = json.loads(first.out)
    assert report["run_dir"] == "runs/mnist-mini"
    assert report["epochs"] == 2
    assert {"seconds", "images_per_second", "metrics"} <= report.keys()
    second = pae("train-flow", "runs/mnist-mini")
    assert second.code == 0, second.err
    assert "next: pae eval runs/mnist-mini" in second.err.replace("\n", " ")
    written = {path.name for path in (folder / "runs/mnist-mini").iterdir()}
    assert {"autoencoder.safetensors", "model.safetensors", "config.yaml",
            "autoencoder-loss.png", "flow-loss.png"} <= written  # fmt: skip
    third = pae("train-flow", "runs/mnist-mini", "--measure-only", "--json")
    assert json.loads(third.out) == {"model_file": "runs/mnist-mini/model.safetensors"}


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["train-ae", "fmnist", "--data-dir", "nowhere"], 1, "fmnist"),
        (["train-ae", "mnist-mini", "--preset", "nosuch"], 1, "no preset 'nosuch'"),
        (["train-ae", "mnist-mini", "--network", "lstm"], 1, "--network: input should be"),
        (["train-ae", "mnist-mini", "--augment", "spin:3"], 2, "--augment"),
        (["train-ae", "mnist-mini", "--resume"], 1, "no interrupted run"),
        (["train-ae", "mnist-mini", "--device", "abacus"], 2, "--device"),
        (["train-flow", "nowhere"], 1, "pae train-ae"),
    ],
)
def test_errors_are_one_line(
    pae: Callable[..., Outcome],
    arguments: list[str],
    code: int,
    error: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PAE_DATA", raising=False)
    # no network: a download attempt must end in the same one line
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    result = pae(*arguments)
    assert result.code == code, result.err
    assert error in result.err
    lines = result.err.splitlines()
    assert [line.startswith("Error: ") for line in lines] == [False] * (len(lines) - 1) + [True]


def test_killed_run_resumes_to_the_same_weights(folder: Path, pae: Callable[..., Outcome]) -> None:
    options = ["--config", "quick.yaml", "--limit", "256", "--epochs", "6"]
    assert pae("train-ae", "mnist-mini", *options, "--out", "whole").code == 0
    killed = subprocess.Popen(
        [sys.executable, "-m", "paecli", "train-ae", "mnist-mini", *options, "--out", "killed"],
        cwd=folder, stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    state = state_file(folder / "killed", "autoencoder")
    while killed.poll() is None and not state.exists():
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    if state.exists():  # else it was quicker than the kill, and there is nothing to resume
        assert pae("train-ae", "mnist-mini", "--resume", "--out", "killed").code == 0
    hashes = {
        read_header(folder / run / "autoencoder.safetensors").autoencoder_hash
        for run in ("whole", "killed")
    }
    assert len(hashes) == 1


def test_augment_is_read() -> None:
    assert parse_augment("shift:2, hflip:0.5") == {
        "shift": 2, "horizontal_flip": 0.5, "rotation": 0, "brightness": 0, "noise": 0,
    }  # fmt: skip
    assert set(parse_augment("none").values()) == {0}
    assert parse_augment(None) == {}


@pytest.mark.parametrize("text", ["shift", "shift:much", "wings:1", ""])
def test_bad_augment_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--augment"):
        parse_augment(text)


def test_difference_names_the_first_changed_setting() -> None:
    started = {"a": {"b": 1, "c": 2}, "d": 3}
    assert difference(started, {"a": {"b": None, "c": 2}}) is None
    assert difference(started, {"a": {"c": 5}, "d": 3}) == "a.c (started with 2, now 5)"


@contextmanager
def full_after_an_epoch() -> Iterator[None]:
    """Lets a training run out of the accelerator's memory in its second epoch."""
    step = TrainingLoop._step

    def full(self: TrainingLoop, index: torch.Tensor) -> float:
        if self.state.epoch:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nGPU 0 has")
        return step(self, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingLoop, "_step", full)
        yield


def test_a_full_accelerator_ends_in_one_line_and_the_run_goes_on(
    folder: Path, pae: Callable[..., Outcome]
) -> None:
    options = ("--config", "quick.yaml", "--limit", "64", "--out", "run")
    with full_after_an_epoch():
        ended = pae("train-ae", "mnist-mini", *options)
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("Error: the accelerator's memory is full; ")
    assert "Traceback" not in ended.err
    resumed = pae("train-ae", "mnist-mini", "--resume", *options)
    assert resumed.code == 0, resumed.err


def test_a_folder_that_was_renamed_is_named_anew_to_go_on(
    folder: Path, pae: Callable[..., Outcome]
) -> None:
    for number in range(40):
        write_image(folder / "images" / f"{number:02}.png", torch.rand(1, 8, 8))
    options = ("--config", "quick.yaml", "--out", "run")
    with full_after_an_epoch():
        assert pae("train-ae", "images", *options).code == 1
    (folder / "images").rename(folder / "moved")
    resumed = pae("train-ae", "moved", "--resume", *options)
    assert resumed.code == 0, resumed.err


def test_a_full_accelerator_is_one_line_while_images_are_restored(
    pae: Callable[..., Outcome], model_file: Path, blobs: torch.Tensor, folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def full(*_arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nGPU 0 has")

    write_image(folder / "a.png", blobs[500])
    monkeypatch.setattr(Autoencoder, "decode", full)
    for words in (("inpaint", "a.png", "--mask", "left"), ("ood", "a.png", "--score", "log_prob")):
        ended = pae(*words, "--model", str(model_file))
        assert ended.code == 1
        assert ended.err.splitlines()[-1].startswith("Error: the accelerator's memory is full; ")


NOTHING_GIVEN = {
    "network": None, "objective": {"loss": None}, "augment": {}, "optimiser": {}, "seed": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"network": "mlp"}, "--network"), ({"objective": {"loss": "vae"}}, "--loss"),
        ({"augment": {"shift": 1}}, "--augment"),
        ({"optimiser": {"method": "muon"}}, "--optimiser"),
        ({"optimiser": {"learning_rate": 0.1}}, "--learning-rate"), ({"seed": 0}, "--seed"),
    ],
)  # fmt: skip
def test_options_of_images_mean_nothing_with_features(given: dict[str, Any], option: str) -> None:
    refuse_options_of_images(NOTHING_GIVEN, channels=None)
    with pytest.raises(UsageError, match=f"{option} has no meaning with --features"):
        refuse_options_of_images(NOTHING_GIVEN | given, channels=None)
    with pytest.raises(UsageError, match="--channels has no meaning"):
        refuse_options_of_images(NOTHING_GIVEN, channels=3)
