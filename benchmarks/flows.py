"""Our spline flow against zuko's and flowjax's on the same latents and processor time each.

    python benchmarks/flows.py MODEL --data-dir FOLDER [--seconds 120] [--only NAME ...]
    python benchmarks/flows.py MODEL --data-dir FOLDER --trained

MODEL is a trained model or a run folder; its latents are encoded once and whitened once, so
that every flow sees the same numbers. Every flow trains on one core with AdamW, a cosine
schedule over its budget, batches of 256 and gradients clipped at 1. Needs `pip install zuko`;
flowjax's take part where `pip install flowjax` was run, without the time they take to compile.

Printed for each: steps taken, NLL in nats an image on the held-out part and on the test split,
milliseconds for log p and for the inverse of 1,000 latents, and the largest and the median
float32 round-trip error `to_base(from_base(u)) - u` of 1,000 base vectors scaled by 1, 3 and 5.

`--trained` trains nothing: it prints the same for the model's own flow as it is, and with the
inputs of its subnets clamped to [-5, 5] and [-4, 4].
"""

import argparse
import importlib.util
import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import zuko
from torch import Tensor, nn

from paecli.model.flow import LatentFlow
from paecli.model.model import Model
from paecli.store.checkpoint import Header
from paecli.store.runs import load_with_header
from paecli.system.progress import NullProgress
from paecli.training.autoencoder import read_data, split_data
from paecli.training.build_networks import SPLINE_REACH
from paecli.training.settings import as_recorded, check

BATCH, WARMUP, CLIP = 256, 0.1, 1.0
SCALES = (1, 3, 5)  # of base vectors, in standard deviations


@dataclass(frozen=True)
class Latents:
    """Latents `(n, latent_size)` and what their whitening adds to the NLL, in nats."""

    train: Tensor
    held_out: Tensor
    test: Tensor
    offset: float


class ZukoFlow(nn.Module):
    """Gives zuko's flow the three methods that this script calls."""

    def __init__(self, size: int, **options: object) -> None:
        super().__init__()
        self.flow = zuko.flows.NSF(size, **options)

    def log_prob(self, z: Tensor) -> Tensor:
        return self.flow().log_prob(z)

    def to_base(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.flow().transform.call_and_ladj(z)

    def from_base(self, u: Tensor) -> Tensor:
        return self.flow().transform.inv(u)


def ours(**options: object) -> Callable[[int], nn.Module]:
    return lambda size: LatentFlow(kind="nsf", latent_size=size, **options)


def zukos(**options: object) -> Callable[[int], nn.Module]:
    return lambda size: ZukoFlow(size, **options)


CONTENDERS: dict[str, Callable[[int], nn.Module]] = {
    "pae nsf": ours(reach=SPLINE_REACH),
    "pae nsf, subnets without limit": ours(),
    "zuko autoregressive, its defaults": zukos(),
    "zuko autoregressive, width 128": zukos(hidden_features=(128, 128)),
    "zuko coupling, width 128": zukos(passes=2, transforms=8, hidden_features=(128, 128)),
}
HAS_FLOWJAX = importlib.util.find_spec("flowjax") is not None
if HAS_FLOWJAX:
    from flowjax_contender import VERSION as FLOWJAX
    from flowjax_contender import FlowjaxFlow

    CONTENDERS |= {
        "flowjax coupling, width 128": lambda size: FlowjaxFlow(
            size, kind="coupling", layers=8, width=128
        ),
        "flowjax autoregressive, width 128": lambda size: FlowjaxFlow(
            size, kind="autoregressive", layers=3, width=128
        ),
    }


def encode(model: Model, header: Header, data_dir: Path | None) -> Latents:
    """Encodes a model's data; neither whitened nor offset yet."""
    settings = check(as_recorded(header.config), where="the model").autoencoder.data
    data = read_data(settings, data_dir=data_dir, progress=NullProgress())
    train, held_out = split_data(settings, data)
    return Latents(*(model.encode(s.images) for s in (train, held_out, data.test)), offset=0.0)


def whitened(latents: Latents) -> Latents:
    whitening = LatentFlow(kind="nsf", latent_size=latents.train.shape[1], blocks=1)
    whitening.fit_whitening(latents.train)
    parts = (whitening.whiten(part) for part in (latents.train, latents.held_out, latents.test))
    return Latents(*parts, offset=whitening.cholesky.diagonal().log().sum().item())


def trained_flows(model: Model, header: Header) -> dict[str, nn.Module]:
    """Returns the model's flow with its subnets' inputs as they are and limited."""
    flows: dict[str, nn.Module] = {"as trained": model.require_flow()}
    for reach in (5.0, 4.0):
        flow = LatentFlow(**{**(header.flow or {}), "reach": reach})
        flow.load_state_dict(model.require_flow().state_dict())
        flows[f"subnets within {reach:g}"] = flow.eval()
    return flows


def train(flow: nn.Module, latents: Tensor, *, seconds: float, rate: float) -> int:
    """Trains for so many seconds of processor time; returns the steps taken."""

    def scheduled(fraction: float) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * (fraction - WARMUP) / (1 - WARMUP)))
        return rate * max(fraction / WARMUP if fraction < WARMUP else cosine, 0.01)

    if HAS_FLOWJAX and isinstance(flow, FlowjaxFlow):
        return flow.train_for(latents, seconds=seconds, batch=BATCH, rate=scheduled)
    parameters = [p for p in flow.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), fused=True)
    steps, order = 0, torch.randperm(len(latents))
    started = time.process_time()
    while (fraction := (time.process_time() - started) / seconds) < 1:
        at = steps * BATCH % (len(latents) - BATCH)
        if at < BATCH:
            order = torch.randperm(len(latents))
        optimiser.param_groups[0]["lr"] = scheduled(fraction)
        optimiser.zero_grad()
        (-flow.log_prob(latents[order[at : at + BATCH]]).mean()).backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimiser.step()
        steps += 1
    return steps


@torch.no_grad()
def nll(flow: nn.Module, latents: Tensor) -> float:
    return -torch.cat([flow.log_prob(part) for part in latents.split(1000)]).mean().item()


@torch.no_grad()
def round_trip_error(flow: nn.Module, u: Tensor) -> str:
    error = (flow.to_base(flow.from_base(u))[0] - u).abs().amax(1)
    return f"{error.max():.1e}/{error.median():.1e}"


@torch.no_grad()
def milliseconds(job: Callable[[], object], repeats: int = 5) -> float:
    job()
    started = time.process_time()
    for _ in range(repeats):
        job()
    return 1000 * (time.process_time() - started) / repeats


def measure(flow: nn.Module, latents: Latents) -> tuple[float, str]:
    """Returns the test NLL and the line of the table, without name and steps."""
    held_out, test = (nll(flow, part) + latents.offset for part in (latents.held_out, latents.test))
    u = torch.randn(1000, latents.test.shape[1])
    forwards = milliseconds(lambda: flow.log_prob(latents.test[:1000]))
    backwards = milliseconds(lambda: flow.from_base(u))
    errors = "  ".join(round_trip_error(flow, scale * u) for scale in SCALES)
    return test, f"{held_out:9.3f} {test:8.3f} {forwards:9.1f} {backwards:11.1f}  {errors}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--seconds", type=float, default=120, help="processor time for each")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--trained", action="store_true", help="only measure the model's flow")
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model, header = load_with_header(arguments.model)
    latents = encode(model, header, arguments.data_dir)
    size = latents.train.shape[1]
    print(
        f"{platform.processor() or platform.machine()}, 1 thread, torch {torch.__version__}, "
        f"zuko {zuko.__version__}, "
        + (f"flowjax {FLOWJAX}, " if HAS_FLOWJAX else "")
        + f"latent size {size}"
        + ("" if arguments.trained else f", {arguments.seconds:g} s each")
    )
    print(f"{'flow':34} steps  held-out     test  log p ms  inverse ms  round trip at 1, 3, 5")
    if arguments.trained:
        for name, flow in trained_flows(model, header).items():
            print(f"{name:34} {'':5} {measure(flow, latents)[1]}", flush=True)
        return
    compare(whitened(latents), arguments)


def compare(latents: Latents, arguments: argparse.Namespace) -> None:
    test_nll = {}
    for name in arguments.only:
        torch.manual_seed(0)
        flow = CONTENDERS[name](latents.train.shape[1])
        steps = train(flow, latents.train, seconds=arguments.seconds, rate=arguments.learning_rate)
        test_nll[name], line = measure(flow.eval(), latents)
        print(f"{name:34} {steps:5} {line}", flush=True)
    first, *others = test_nll
    for other in others:
        print(f"{first} is {test_nll[other] - test_nll[first]:+.3f} nats better than {other}")


if __name__ == "__main__":
    main()
