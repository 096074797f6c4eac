"""How near a training step comes to what this processor can do: a row a preset.

    python benchmarks/limits.py [--presets fmnist,folder,demo] [--threads 1] [--steps 8]

A step's convolutions and matrix products are recorded as they run, each as the product of matrices
that it amounts to: a convolution of n images is (n * height * width) x (channels * kernel) times
its filters, and each of its two gradients a product of the same size. Plain products of the same
shapes and type are then timed on the same threads. Printed: floating-point operations of a step
(two a multiplication), the rate of the whole step, that of the plain products alone, and the
ratio. Times are of the processor with one thread, of the clock with more; quote the ratio only.
"""

import argparse
import platform
import time
from collections import Counter
from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from paecli.data import load_dataset
from paecli.data.dataset import ImageSplit
from paecli.system.heap import keep_freed_memory
from paecli.training.autoencoder import AutoencoderStage, split_data
from paecli.training.build_networks import build_autoencoder
from paecli.training.loop import choose_bfloat16
from paecli.training.optimisers import build_optimisers
from paecli.training.settings import AutoencoderSettings, resolve

aten = torch.ops.aten
Product = tuple[int, int, int, torch.dtype]  # rows, inner, columns, type
SECONDS = 0.3  # for which each plain product is timed


class Recorder(TorchDispatchMode):
    """Counts the products of matrices that run, by shape and type."""

    def __init__(self) -> None:
        super().__init__()
        self.products: Counter[Product] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        result = function(*arguments, **(options or {}))
        if function in (aten.mm.default, aten.addmm.default):
            a, b = arguments[-2:]
            self.products[a.shape[0], a.shape[1], b.shape[1], a.dtype] += 1
        elif function is aten.convolution.default:
            self._convolution(result, arguments[0], arguments[1], groups=arguments[8])
        elif function is aten.convolution_backward.default:
            for wanted in arguments[-1][:2]:
                if wanted:
                    self._convolution(arguments[0], arguments[1], arguments[2], groups=arguments[9])
        return result

    def _convolution(self, out: Tensor, data: Tensor, filters: Tensor, *, groups: int) -> None:
        # of a transposed one the smaller side is its input
        rows = min(prod(out.shape) // out.shape[1], prod(data.shape) // data.shape[1])
        inner = prod(filters.shape[1:])
        self.products[rows, inner, filters.shape[0] // groups, out.dtype] += groups


def step_of(settings: AutoencoderSettings, images: ImageSplit) -> tuple[Callable[[], None], int]:
    """Builds what a step of a preset does; returns it and its number of images."""
    torch.manual_seed(0)
    autoencoder, _ = build_autoencoder(settings, images)
    stage = AutoencoderStage(autoencoder, settings, images.images, images.images[:1])
    optimisers = build_optimisers(stage.module, settings.optimiser)
    in_bfloat16 = choose_bfloat16(settings.optimiser.precision, torch.device("cpu"))
    batch = min(settings.optimiser.batch_size, len(images))
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        data = stage.batch(torch.arange(batch), fraction=0.5, generator=generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16):
            loss = stage.module(*data, 0.5)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(stage.module.parameters(), settings.optimiser.clip)
        for optimiser in optimisers:
            optimiser.step()

    return step, batch


def seconds_of(job: Callable[[], object], clock: Callable[[], float], least: float) -> float:
    """Returns seconds a run, over as many runs as take `least` seconds."""
    job()
    runs, began = 0, clock()
    while clock() - began < least:
        job()
        runs += 1
    return (clock() - began) / runs


def plain_seconds(products: Counter[Product], clock: Callable[[], float]) -> float:
    """Returns the seconds that plain products of these shapes take."""
    total = 0.0
    for (rows, inner, columns, kind), count in products.items():
        a, b = torch.randn(rows, inner).to(kind), torch.randn(inner, columns).to(kind)
        total += count * seconds_of(lambda a=a, b=b: a @ b, clock, SECONDS)  # type: ignore[misc]
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", default="fmnist,folder,demo")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=8)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    keep_freed_memory()
    clock = time.process_time if chosen.threads == 1 else time.perf_counter
    print(f"{platform.machine()}, {chosen.threads} threads, torch {torch.__version__}")
    print("preset        GFLOP a step  images/s  GFLOP/s  of plain products, GFLOP/s  ratio")
    for preset in chosen.presets.split(","):
        settings = resolve(preset=preset, file=None, flags={}, fallback="fmnist-mini").autoencoder
        data = settings.data.model_copy(update={"dataset": "fmnist-mini"})
        kept, _ = split_data(data, load_dataset("fmnist-mini"))
        step, batch = step_of(settings, kept)
        step()
        with Recorder() as recorder:
            step()
        work = sum(2 * r * k * c * n for (r, k, c, _), n in recorder.products.items()) / 1e9
        began = clock()
        for _ in range(chosen.steps):
            step()
        seconds = (clock() - began) / chosen.steps
        plain = plain_seconds(recorder.products, clock)
        print(
            f"{preset:12} {work:13.1f} {batch / seconds:9.0f} {work / seconds:8.0f} "
            f"{work / plain:27.0f} {plain / seconds:6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
