"""Time to a given test error: the recommended network against pythae's and infoGAN's.

Each baseline trains for a budget of seconds; then our recipe is timed until it has the test
error that the baseline ended with. Every network sees the same Fashion-MNIST images in the
same order at the same latent size; measuring the error does not count as training time.

    python benchmarks/training_speed.py --data-dir FOLDER [--seconds 120]

pythae (`pip install pythae imageio`) trains its own AE on its own MNIST benchmark network.
"""

import argparse
import platform
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from pythae.data.datasets import DatasetOutput
from pythae.models import AE, AEConfig
from pythae.models.nn.benchmarks.mnist import Decoder_Conv_AE_MNIST, Encoder_Conv_AE_MNIST
from torch import Tensor, nn
from torch.nn import functional as F

from paecli.config import OptimiserSettings, resolve
from paecli.core.augment import augment
from paecli.core.autoencoder import Autoencoder
from paecli.core.averaging import WeightAverage
from paecli.data import load_dataset
from paecli.workflows.optimisers import build_optimisers, learning_rate_at
from paecli.workflows.training_loop import choose_bfloat16

LATENT_SIZE = 32
MEASUREMENTS = 12  # of the test error, over a budget
TEST_IMAGES = 2000  # enough to compare, quick enough for the slow networks


@dataclass
class Contestant:
    """A network, how it makes a step, and how it reconstructs."""

    name: str
    batch_size: int
    step: Callable[[Tensor, float], None]
    reconstruct: Callable[[Tensor], Tensor]


def ours(budget_epochs: int) -> Contestant:
    """The recipe of `pae train-ae fmnist`, its schedule set to a number of epochs."""
    settings = resolve(preset="fmnist", file=None, flags={}).autoencoder
    network = Autoencoder(
        network=settings.network, image_shape=(1, 28, 28), latent_size=LATENT_SIZE,
        **settings.network_options,
    ).to(memory_format=torch.channels_last)  # fmt: skip
    options = settings.optimiser.model_copy(update={"epochs": budget_epochs})
    return _ours("pae fmnist preset", network, options, shift=settings.augment.shift)


def infogan() -> Contestant:
    """The paper's network and optimiser: Adam 1e-3, batch 128."""
    network = Autoencoder(network="infogan", image_shape=(1, 28, 28), latent_size=LATENT_SIZE)
    options = OptimiserSettings(
        learning_rate=1e-3, batch_size=128, weight_decay=0, warmup=0, schedule="constant"
    )
    return _ours("infoGAN (the paper's)", network, options, precision="fp32")


def _ours(
    name: str, network: Autoencoder, options: OptimiserSettings, *, shift: int = 0,
    precision: str = "auto",
) -> Contestant:  # fmt: skip
    optimisers = build_optimisers(network, options)
    average = WeightAverage(network, decay=options.averaging)
    live: dict[str, Tensor] = {}
    use_bfloat16 = choose_bfloat16(precision, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)

    def step(x: Tensor, fraction: float) -> None:
        x = augment(x, generator=generator, shift=shift)
        with torch.autocast("cpu", torch.bfloat16, enabled=use_bfloat16):
            loss = F.mse_loss(network(x), x)
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = learning_rate_at(min(fraction, 1.0), options)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), options.clip)
        for optimiser in optimisers:
            optimiser.step()
        if options.averaging:
            average.update(network)

    def reconstruct(x: Tensor) -> Tensor:
        live.update({key: value.clone() for key, value in network.state_dict().items()})
        if options.averaging:
            network.load_state_dict(average.weights)
        network.eval()
        with torch.no_grad():
            y = torch.cat([network(part) for part in x.split(500)])
        network.load_state_dict(live)
        network.train()
        return y

    return Contestant(name, options.batch_size, step, reconstruct)


def pythae() -> Contestant:
    """pythae's AE with its convolutional MNIST network; Adam 1e-3, batch 128."""
    config = AEConfig(input_dim=(1, 28, 28), latent_dim=LATENT_SIZE)
    model = AE(config, encoder=Encoder_Conv_AE_MNIST(config), decoder=Decoder_Conv_AE_MNIST(config))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(x: Tensor, fraction: float) -> None:
        del fraction
        optimiser.zero_grad(set_to_none=True)
        model(DatasetOutput(data=x)).loss.backward()
        optimiser.step()

    def reconstruct(x: Tensor) -> Tensor:
        model.eval()
        with torch.no_grad():
            parts = [model(DatasetOutput(data=part)).recon_x for part in x.split(500)]
        model.train()
        return torch.cat(parts)

    return Contestant("pythae AE, Conv MNIST", 128, step, reconstruct)


def batches(images: Tensor, size: int) -> Iterator[Tensor]:
    """Yields float batches for ever, in a fixed random order."""
    generator = torch.Generator().manual_seed(0)
    while True:
        order = torch.randperm(len(images), generator=generator)
        for start in range(0, len(order) - size + 1, size):
            yield images[order[start : start + size]].float() / 255


def train(
    contestant: Contestant, images: Tensor, test: Tensor, *, seconds: float, target: float = 0.0
) -> tuple[float, float, float]:
    """Trains until the budget or the target error; returns seconds, error, images per second."""
    spent, steps, error = 0.0, 0, float("inf")
    next_measurement = 0.0
    for x in batches(images, contestant.batch_size):
        started = time.perf_counter()
        contestant.step(x, spent / seconds)
        spent += time.perf_counter() - started
        steps += 1
        next_measurement = next_measurement or spent + seconds / MEASUREMENTS
        if spent >= min(next_measurement, seconds):
            error = F.mse_loss(contestant.reconstruct(test), test).item()
            next_measurement = spent + seconds / MEASUREMENTS
            if spent >= seconds or error <= target:
                break
    return spent, error, steps * contestant.batch_size / spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=120)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    data = load_dataset("fmnist", data_dir=arguments.data_dir)
    test = data.test.images[:TEST_IMAGES].float() / 255
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}")
    for make in (pythae, infogan):
        baseline = make()
        budget, error, rate = train(baseline, data.train.images, test, seconds=arguments.seconds)
        print(f"{baseline.name}: test MSE {error:.5f} after {budget:.0f} s, {rate:.0f} images/s")
        # a short schedule: what a user in a hurry would ask for
        own = ours(1)
        taken, reached, own_rate = train(
            own, data.train.images, test, seconds=arguments.seconds / 4, target=error
        )
        print(f"  {own.name}: test MSE {reached:.5f} after {taken:.1f} s, {own_rate:.0f} images/s")
        print(f"  ratio of times {budget / taken:.1f}, of images/s {own_rate / rate:.1f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
