"""Trains, evaluates, scores and restores on the accelerator at hand, against the CPU.

    python benchmarks/device.py                # the accelerator that torch finds
    python benchmarks/device.py --device cpu   # the CPU against itself: what the script does

Prints images a second of each job on both, their ratio, and how far the answers are apart. Timings
are of the clock: run it on an idle machine.
"""

import argparse
import copy
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from paecli.api import PAE, load
from paecli.data.datasets import load_dataset
from paecli.model.requirements import FAST_SCORES
from paecli.outliers.scores import measure_scores
from paecli.train import train_autoencoder, train_flow
from paecli.training.settings import DEMO_PRESET, resolve

SET = "fmnist-mini"  # bundled
RESTORED = 2  # images; each takes seconds on a CPU
Job = Callable[[PAE, Tensor], Tensor]


def restored(model: PAE, x: Tensor) -> Tensor:
    """Restores the left halves of a few images."""
    observed = torch.ones(x.shape[-2:])
    observed[:, : x.shape[-1] // 2] = 0
    results = model.restore_batch(x[:RESTORED], mask=observed[None], method="auto", samples=8)
    return torch.stack([each.mean for each in results])


JOBS: dict[str, tuple[Job, int]] = {
    "encode": (lambda model, x: model.encode(x), 1000),
    "reconstruct": (lambda model, x: model.reconstruct(x), 1000),
    "sample": (
        lambda model, x: model.sample(len(x), generator=torch.Generator().manual_seed(0)),
        1000,
    ),
    "all fast scores": (lambda model, x: measure_scores(model, x, FAST_SCORES)["combined"], 1000),
    "restore, auto": (restored, RESTORED),
}


def clocked(work: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """Returns what a job gives the second time, on the CPU, and the seconds that took."""
    work()
    start = time.perf_counter()
    result = work().cpu()  # waits for the device
    return result, time.perf_counter() - start


def trained(device: str, folder: Path) -> tuple[float, float, float]:
    """Trains the preset of `pae demo`; returns images a second of stage 1, both final metrics."""
    settings = resolve(
        preset=DEMO_PRESET, file=None, flags={"autoencoder": {"data": {"dataset": SET}}}
    )
    first = train_autoencoder(settings, run_dir=folder, device=device)
    second = train_flow(settings.flow, run_dir=folder, device=device)
    return first.images_per_second, first.metrics["test_mse"], second.metrics["held_out_nll"]


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument(
        "--device", default="", help="cuda, xpu, mps or cpu; default: what there is"
    )
    parser.add_argument("--no-training", action="store_true")
    options = parser.parse_args()
    if not options.device and not torch.accelerator.is_available():
        print("no accelerator at hand: nothing to compare with the CPU")
        sys.exit(1)
    device = (
        torch.device(options.device) if options.device else torch.accelerator.current_accelerator()
    )
    assert device is not None
    model = load().eval()
    moved = copy.deepcopy(model).to(device)
    x = load_dataset(SET).test.images[:1000].float() / 255
    threads = torch.get_num_threads()
    print(f"| job | CPU ({threads} threads), images/s | {device}, images/s | ratio | apart by |")
    print("|---|---|---|---|---|")
    for name, (job, count) in JOBS.items():
        there = x.to(device)
        with torch.no_grad():
            expected, slow = clocked(lambda job=job: job(model, x))  # type: ignore[misc]
            found, fast = clocked(lambda job=job, there=there: job(moved, there))  # type: ignore[misc]
        apart = (found - expected).abs().max().item()
        print(
            f"| {name} | {count / slow:.3g} | {count / fast:.3g} | {slow / fast:.2f} | {apart:.1g}|"
        )
    if options.no_training:
        return
    with tempfile.TemporaryDirectory() as folder:
        slow, *expected_metrics = trained("cpu", Path(folder) / "cpu")
        where = "cpu" if device.type == "cpu" else "auto"
        fast, *found_metrics = trained(where, Path(folder) / "device")
    print(f"| training, preset `demo` | {slow:.3g} | {fast:.3g} | {fast / slow:.2f} | |")
    print(f"\ntest MSE {expected_metrics[0]:.6f} and {found_metrics[0]:.6f}, "
          f"flow NLL {expected_metrics[1]:.3f} and {found_metrics[1]:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
