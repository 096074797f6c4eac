"""Time to a given error: the recommended preset against the paper's network and pythae's.

Our preset trains to the end of its schedule, by the same workflow as `pae train-ae`: that takes T
seconds and gives an error on held-out images. Each other contender then has `--factor` times T to
come as low. All see the same Fashion-MNIST images at latent size 32, each in a process of its own.
Seconds are processor time over all threads, so that other jobs on the machine change little; with
one thread it is what a clock shows on an idle machine. Measuring their errors does not count as
their time; measuring and saving ours after each epoch does.

    OMP_NUM_THREADS=1 python benchmarks/training_speed.py --data-dir FOLDER [--epochs 3]

pythae (`pip install pythae imageio`) trains its own AE on its own MNIST benchmark network.
"""

import argparse
import multiprocessing
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paecli.api import PAE, load
from paecli.data import load_dataset
from paecli.model.autoencoder import Autoencoder
from paecli.system.heap import keep_freed_memory
from paecli.system.progress import NullProgress, Task
from paecli.train import train_autoencoder
from paecli.training.autoencoder import AutoencoderStage, reconstruction_mse, split_data
from paecli.training.optimisers import build_optimisers
from paecli.training.settings import RunSettings, resolve

HELD_OUT_IMAGES = 2000  # enough to compare, quick enough for the slow networks
MEASUREMENTS = 20  # of a contender's error, evenly over its time


@dataclass(frozen=True)
class Images:
    """Fashion-MNIST, split as `pae train-ae` does: uint8 to train on, float to measure on."""

    kept: Tensor
    held_out: Tensor
    test: Tensor


@dataclass(frozen=True)
class Outcome:
    """How far a contender came; errors are mean squared, per pixel."""

    seconds: float
    images_per_second: float
    held_out: float
    best_held_out: float
    test: float
    peak_gigabytes: float

    def __str__(self) -> str:
        return (
            f"held-out MSE {self.held_out:.5f} (best {self.best_held_out:.5f}), "
            f"test MSE {self.test:.5f}, {self.seconds:.0f} s, "
            f"{self.images_per_second:.0f} images/s, peak memory {self.peak_gigabytes:.2f} GB"
        )


@dataclass(frozen=True)
class Contender:
    """A network in training: how it makes a step, and how it reconstructs."""

    batch_size: int
    step: Callable[[Tensor], None]
    reconstruct: Callable[[Tensor], Tensor]


def settings_of(preset: str, **optimiser: int) -> RunSettings:
    """Returns a preset, for Fashion-MNIST."""
    flags = {"autoencoder": {"data": {"dataset": "fmnist"}, "optimiser": optimiser}}
    return resolve(preset=preset, file=None, flags=flags)


def read_images(data_dir: Path) -> Images:
    settings = settings_of("fmnist").autoencoder
    data = load_dataset("fmnist", data_dir=data_dir)
    kept, held_out = split_data(settings.data, data)
    return Images(
        kept.images, held_out.images[:HELD_OUT_IMAGES].float() / 255, data.test.images.float() / 255
    )


class ProcessorTime(NullProgress):
    """Takes the processor time of the training loop."""

    seconds = 0.0

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Task]:
        started = time.process_time()
        with super().task(description, total) as task:
            yield task
        if description == "training":
            self.seconds = time.process_time() - started


def train_ours(data_dir: Path, epochs: int) -> Outcome:
    """Trains the recommended preset to its end, as the command does."""
    settings, clock = settings_of("fmnist", epochs=epochs), ProcessorTime()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        report = train_autoencoder(settings, run_dir=run, data_dir=data_dir, progress=clock)
        model = load(run)
    peak = peak_gigabytes()
    images = read_images(data_dir)
    error, test = (mse(model.reconstruct, part) for part in (images.held_out, images.test))
    rate = report.images_per_second * report.seconds / clock.seconds
    print(f"  {report.seconds:.0f} s by the clock, {clock.seconds:.0f} s of processor time")
    stage = AutoencoderStage(model.autoencoder, settings.autoencoder, images.kept, images.kept[:1])
    report_data_path(stage, rate)
    report_encoding(model, data_dir)
    return Outcome(clock.seconds, rate, error, error, test, peak)


def report_data_path(stage: AutoencoderStage, images_per_second: float) -> None:
    """Prints what share of a step it takes to pick, convert and augment a batch."""
    generator, count = torch.Generator().manual_seed(0), 200
    order = torch.randint(stage.examples, (count, stage.settings.optimiser.batch_size))
    started = time.process_time()
    for index in order:
        stage.batch(index, fraction=0.0, generator=generator)
    batch = (time.process_time() - started) / count
    step = order.shape[1] / images_per_second
    print(f"  data path {1e3 * batch:.2f} of {1e3 * step:.0f} ms a step: {batch / step:.1%}")


def report_encoding(model: PAE, data_dir: Path) -> None:
    """Prints how long all 70,000 images take to encode, and to measure."""
    data = load_dataset("fmnist", data_dir=data_dir)
    images = torch.cat([data.train.images, data.test.images])
    started = time.process_time()
    model.encode(images)
    encoded = time.process_time()
    reconstruction_mse(model.autoencoder, images)
    measured = time.process_time()
    print(
        f"  {len(images)} images encoded in {encoded - started:.1f} s, "
        f"reconstructed and measured in {measured - encoded:.1f} s"
    )


def infogan() -> Contender:
    """The paper's network and recipe: Adam 1e-3, batch 128, dropout, float32."""
    settings = settings_of("paper-fmnist-32").autoencoder
    torch.manual_seed(settings.seed)
    network = Autoencoder(
        network=settings.network, image_shape=(1, 28, 28), latent_size=settings.latents,
        **settings.network_options,
    ).to(memory_format=torch.channels_last)  # fmt: skip
    return contender(
        network,
        build_optimisers(network, settings.optimiser)[0],
        batch_size=settings.optimiser.batch_size,
        loss=lambda x: F.mse_loss(network(x), x),
        reconstruct=network,
    )


def pythae() -> Contender:
    """pythae's AE with its convolutional MNIST network: Adam 1e-3, batch 128."""
    from pythae.data.datasets import DatasetOutput
    from pythae.models import AE, AEConfig
    from pythae.models.nn.benchmarks import mnist

    torch.manual_seed(0)
    config = AEConfig(input_dim=(1, 28, 28), latent_dim=32)
    networks = mnist.Encoder_Conv_AE_MNIST(config), mnist.Decoder_Conv_AE_MNIST(config)
    model = AE(config, *networks)
    return contender(
        model,
        torch.optim.Adam(model.parameters(), lr=1e-3),
        batch_size=128,
        loss=lambda x: model(DatasetOutput(data=x)).loss,
        reconstruct=lambda x: model(DatasetOutput(data=x)).recon_x,
    )


def contender(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    *,
    batch_size: int,
    loss: Callable[[Tensor], Tensor],
    reconstruct: Callable[[Tensor], Tensor],
) -> Contender:
    """Joins a network and its optimiser to a plain training step."""

    def step(x: Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss(x).backward()
        optimiser.step()

    def in_evaluation_mode(x: Tensor) -> Tensor:
        module.eval()
        x_hat = reconstruct(x)
        module.train()
        return x_hat

    return Contender(batch_size, step, in_evaluation_mode)


CONTENDERS = {"infogan": infogan, "pythae": pythae}


def train_contender(name: str, data_dir: Path, seconds: float, target: float) -> Outcome:
    """Trains until the error is at most the target, or the time is up."""
    keep_freed_memory()  # as our own training does
    images = read_images(data_dir)
    contender = CONTENDERS[name]()
    spent, steps, error, best = 0.0, 0, float("inf"), float("inf")
    due = seconds / MEASUREMENTS
    for x in batches(images.kept, contender.batch_size):
        started = time.process_time()
        contender.step(x)
        spent += time.process_time() - started
        steps += 1
        if spent < min(due, seconds):
            continue
        due += seconds / MEASUREMENTS
        error = mse(contender.reconstruct, images.held_out)
        best = min(best, error)
        print(f"  {name}: {spent:.0f} s, held-out MSE {error:.5f}", flush=True)
        if spent >= seconds or error <= target:
            break
    peak = peak_gigabytes()
    test = mse(contender.reconstruct, images.test)
    return Outcome(spent, steps * contender.batch_size / spent, error, best, test, peak)


def batches(images: Tensor, size: int) -> Iterator[Tensor]:
    """Yields float batches for ever, in a fixed random order."""
    generator = torch.Generator().manual_seed(0)
    while True:
        order = torch.randperm(len(images), generator=generator)
        for start in range(0, len(order) - size + 1, size):
            yield images[order[start : start + size]].float() / 255


@torch.no_grad()
def mse(reconstruct: Callable[[Tensor], Tensor], images: Tensor) -> float:
    """Returns the mean squared error per pixel of float images."""
    squared = [F.mse_loss(reconstruct(x), x, reduction="sum").item() for x in images.split(500)]
    return sum(squared) / images.numel()


def peak_gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def in_own_process(job: Callable[..., Outcome], *arguments: object) -> Outcome:
    """Runs a job in a fresh process, so that its peak memory is its own."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as executor:
        return executor.submit(job, *arguments).result()


def compare(name: str, ours: Outcome, theirs: Outcome) -> str:
    """Says how much longer a contender took, or how far it came."""
    ratio = theirs.seconds / ours.seconds
    if theirs.held_out <= ours.held_out:
        verdict = f"took {ratio:.1f} times as long"
    else:
        verdict = f"not reached in {ratio:.1f} times the time"
    slower = ours.images_per_second / theirs.images_per_second
    return f"{name}: {theirs}\n  {verdict}; {slower:.1f} times fewer images/s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=3, help="of our preset")
    parser.add_argument("--factor", type=float, default=20, help="times our time for the others")
    parser.add_argument("--only", choices=CONTENDERS, help="one contender instead of all")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}")
    ours = in_own_process(train_ours, arguments.data_dir, arguments.epochs)
    print(f"pae fmnist preset, {arguments.epochs} epochs: {ours}", flush=True)
    for name in [arguments.only] if arguments.only else CONTENDERS:
        budget = arguments.factor * ours.seconds
        theirs = in_own_process(train_contender, name, arguments.data_dir, budget, ours.held_out)
        print(compare(name, ours, theirs), flush=True)


if __name__ == "__main__":
    main()
