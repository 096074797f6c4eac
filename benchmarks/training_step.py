"""Where a training step of the recommended preset spends its time, part by part.

    OMP_NUM_THREADS=1 python benchmarks/training_step.py --data-dir FOLDER [--steps 40]

Milliseconds are processor time. `--trim` leaves the C library's heap as it is by default, and
the table then shows what giving memory back costs.
"""

import argparse
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from paecli.data import load_dataset
from paecli.system.heap import keep_freed_memory
from paecli.system.progress import NullProgress
from paecli.training.autoencoder import AutoencoderStage, split_data
from paecli.training.build_networks import build_autoencoder
from paecli.training.loop import TrainingLoop, choose_bfloat16
from paecli.training.optimisers import build_optimisers
from paecli.training.settings import AutoencoderSettings, resolve


class Stopwatch:
    """Adds up the processor time of calls, by name."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def watch(self, owner: object, method: str, name: str) -> None:
        """Times every call of a method from now on."""
        original: Callable[..., Any] = getattr(owner, method)

        def timed(*arguments: object, **options: object) -> object:
            started = time.process_time()
            result = original(*arguments, **options)
            self.seconds[name] += time.process_time() - started
            return result

        setattr(owner, method, timed)


def read_settings() -> AutoencoderSettings:
    flags = {"autoencoder": {"data": {"dataset": "fmnist"}, "optimiser": {"epochs": 1}}}
    return resolve(preset="fmnist", file=None, flags=flags).autoencoder


def profile(settings: AutoencoderSettings, data_dir: Path, steps: int, folder: Path) -> None:
    """Runs some steps and prints a line for each of their parts."""
    kept, _ = split_data(settings.data, load_dataset("fmnist", data_dir=data_dir))
    kept = kept.take(steps * settings.optimiser.batch_size)
    autoencoder, _ = build_autoencoder(settings, kept)
    stage = AutoencoderStage(autoencoder, settings, kept.images, kept.images[:1])
    accelerator = Accelerator(cpu=True)
    loop = TrainingLoop(
        stage,
        name="benchmark",
        settings=settings.optimiser,
        seed=0,
        state_file=folder / "state.safetensors",
        described={},
        content_hash="",
        accelerator=accelerator,
        use_bfloat16=choose_bfloat16("auto", accelerator.device),
        progress=NullProgress(),
    )
    stopwatch = watched(loop)
    faults, started = page_faults(), time.process_time()
    loop.run()
    total = time.process_time() - started
    rate = steps * settings.optimiser.batch_size / total
    print(f"a step takes {1e3 * total / steps:.1f} ms, {rate:.0f} images/s")
    for name, seconds in stopwatch.seconds.most_common():
        print(f"  {name:16} {1e3 * seconds / steps:8.2f} ms  {seconds / total:6.1%}")
    rest = total - stopwatch.seconds.total()
    print(f"  {'rest':16} {1e3 * rest / steps:8.2f} ms  {rest / total:6.1%}")
    print(f"  {(page_faults() - faults) / steps:.0f} page faults a step")
    compare_muon(autoencoder, settings, steps)


def watched(loop: TrainingLoop) -> Stopwatch:
    """Times the parts of the loop's steps."""
    stopwatch = Stopwatch()
    stopwatch.watch(loop.stage, "batch", "batch")
    stopwatch.watch(loop.module, "forward", "forward")
    stopwatch.watch(loop.accelerator, "backward", "backward")
    stopwatch.watch(loop.accelerator, "clip_grad_norm_", "clipping")
    stopwatch.watch(loop.average, "update", "average")
    for optimiser, name in zip(loop.optimisers, ("AdamW", "Muon"), strict=True):
        stopwatch.watch(optimiser, "step", name)
        stopwatch.watch(optimiser, "zero_grad", "zeroing gradients")
    return stopwatch


def compare_muon(autoencoder: nn.Module, settings: AutoencoderSettings, steps: int) -> None:
    """Prints the time of our Muon on all it takes, and of torch's on the dense matrices."""
    _, ours = build_optimisers(autoencoder, settings.optimiser)
    taken: list[nn.Parameter] = ours.param_groups[0]["params"]
    for parameter in taken:
        parameter.grad = torch.randn_like(parameter)
    matrices = [parameter for parameter in taken if parameter.ndim == 2]
    theirs = torch.optim.Muon(matrices, lr=1e-3, adjust_lr_fn="match_rms_adamw")
    for name, optimiser in (("ours, with filters", ours), ("torch's, without", theirs)):
        optimiser.step()
        started = time.process_time()
        for _ in range(steps):
            optimiser.step()
        print(f"Muon, {name}: {1e3 * (time.process_time() - started) / steps:.1f} ms a step")


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--trim", action="store_true", help="leave the heap as it is by default")
    arguments = parser.parse_args()
    if not arguments.trim:
        keep_freed_memory()
    settings = read_settings()
    with tempfile.TemporaryDirectory() as folder:
        profile(settings, arguments.data_dir, arguments.steps, Path(folder))


if __name__ == "__main__":
    main()
