"""What a model does on a device that is not the CPU: the same, and there.

`test_on_a_device.py` runs this file in a process of its own, since torch wants to know its devices
before it first takes a gradient.
"""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from paecli.api import PAE
from paecli.model.autoencoder import Autoencoder
from paecli.model.flow import LatentFlow
from paecli.outliers.scores import fit_reference_scores
from paecli.restoration import inflation, modes, solve
from paecli.restoration.samplers import chains, draws, prior_pool, settle, tempering
from paecli.system.progress import NullProgress
from paecli.training.loop import TrainingLoop
from paecli.training.settings import OptimiserSettings
from paecli.training.state import TrainingState

from .fake_device import register

DEVICE = register()


@pytest.fixture
def device() -> torch.device:
    return DEVICE


@pytest.fixture(scope="module")
def fitted(trained_pae: PAE, blobs: Tensor) -> PAE:
    model = copy.deepcopy(trained_pae)
    model.measure_errors(blobs[540:])
    fit_reference_scores(model, blobs[540:], training=blobs[:80])
    return model


@pytest.fixture(scope="module")
def simple(trained_pae: PAE, blobs: Tensor) -> PAE:
    """A model whose flow takes few operations, each of which is called through Python there."""
    torch.manual_seed(0)
    flow = LatentFlow(kind="glow", latent_size=4, blocks=1, width=8)
    flow.fit_whitening(trained_pae.encode(blobs[:500]))
    model = PAE(copy.deepcopy(trained_pae.autoencoder), flow).eval()
    model.measure_errors(blobs[540:])
    for name in ("u", "images"):  # each of them costs a Jacobian
        setattr(model.held_out_errors, name, getattr(model.held_out_errors, name)[:2])
    return model


@pytest.fixture
def moved(fitted: PAE, device: torch.device) -> PAE:
    return copy.deepcopy(fitted).to(device)


def draw() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_device_keeps_tensors_and_generators_apart(device: torch.device) -> None:
    x = torch.rand(3, 4).to(device)
    assert torch.equal((2 * x).cpu(), 2 * x.cpu())
    with pytest.raises(RuntimeError, match="same device"):
        x + torch.rand(3, 4)
    with pytest.raises(RuntimeError, match="expected a generator"):
        torch.randn(3, device=device, generator=draw())


WAYS: dict[str, Callable[[PAE, Tensor], Tensor]] = {
    "encode": lambda model, x: model.encode(x),
    "reconstruct": lambda model, x: model.reconstruct(x),
    "log_prob": lambda model, x: model.log_prob(x),
    "sample": lambda model, _: model.sample(5, generator=draw()),
}


@pytest.mark.parametrize("name", WAYS)
def test_images_and_samples_are_the_same_there(
    name: str, fitted: PAE, moved: PAE, blobs: Tensor, device: torch.device
) -> None:
    found = WAYS[name](moved, blobs[:4].to(device))
    assert found.device == device
    torch.testing.assert_close(found.cpu(), WAYS[name](fitted, blobs[:4]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["combined", "orientation", "marginal_likelihood"])
def test_scores_and_p_values_are_the_same_there(
    name: str, fitted: PAE, moved: PAE, blobs: Tensor, device: torch.device
) -> None:
    x = blobs[480:484]
    expected = fitted.score(x, name)
    torch.testing.assert_close(
        moved.score(x.to(device), name).cpu(), expected, rtol=1e-3, atol=1e-3
    )
    if name in fitted.reference_scores:
        assert torch.equal(moved.p_value(x.to(device), name), fitted.p_value(x, name))


SMALL = {  # so that a method takes a second, each operation being called through Python
    (draws, "KEPT"): 12, (settle, "KEPT"): 12, (draws, "PROPOSALS"): 24, (draws, "CHAINS"): 4,
    (draws, "FIRST_ROUND"): 4, (chains, "ADAPTATIONS"): 1, (chains, "ADAPTATION_STEPS"): 3,
    (settle, "PARTICLES"): 8, (prior_pool, "MOST_DRAWS"): 128, (settle, "MOST_DRAWS"): 128,
    (modes, "RISING_STEPS"): 3, (modes, "FULL"): [1.0] * 2, (solve, "QUICK_ROUNDS"): 1,
    (tempering, "MOST_MOVES"): 1, (inflation, "HALVINGS"): 4,
}  # fmt: skip


@pytest.mark.parametrize("method", ["is", "hmc", "auto"])
def test_restorations_are_the_same_there(
    method: str, simple: PAE, blobs: Tensor, device: torch.device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for (module, name), value in SMALL.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(solve, "finish", partial(modes.finish, steps=1))
    monkeypatch.setattr(draws.draw_by_chains, "__kwdefaults__", {"rounds": 1})
    observed = torch.ones(28, 28)
    observed[:, :14] = 0
    options: dict[str, Any] = {"mask": observed, "method": method, "samples": 3, "starts": 2}
    found = copy.deepcopy(simple).to(device).restore(blobs[490].to(device), **options)
    expected = simple.restore(blobs[490], **options)
    for name in ("map", "mean", "std", "samples", "predictive"):
        assert getattr(found, name).device == device
    assert found.method == expected.method
    assert (found.mean.cpu() - expected.mean).abs().mean().item() < 1e-2
    assert torch.equal(found.mean.cpu()[..., 14:], blobs[490][..., 14:])


class OnDevice:
    """Stands for an accelerator of one process that moves what it prepares to the device."""

    num_processes, process_index, is_main_process = 1, 0, True

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def prepare(self, module: nn.Module, *optimisers: torch.optim.Optimizer) -> tuple[Any, ...]:
        before = list(module.parameters())
        module.to(self.device)
        # on a device of this kind parameters are new ones after a move, as on TPUs
        moved = dict(zip(map(id, before), module.parameters(), strict=True))
        for group in (group for each in optimisers for group in each.param_groups):
            group["params"] = [moved[id(each)] for each in group["params"]]
        return module, *optimisers

    def reduce(self, value: Tensor, _how: str) -> Tensor:
        return value

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def clip_grad_norm_(self, parameters: Any, limit: float) -> None:
        nn.utils.clip_grad_norm_(parameters, limit)


class Stage:
    """An autoencoder, or the flow of its latents, at its simplest."""

    examples, metric_name, example_kind = 32, "loss", "images"

    def __init__(self, part: str, model: PAE, images: Tensor) -> None:
        self.module: nn.Module = _Loss(part, model)
        self.images = images if part == "autoencoder" else model.encode(images)

    def batch(self, index: Tensor, **_options: Any) -> tuple[Tensor, ...]:
        return (self.images[index],)

    def held_out_metric(self) -> float:
        with torch.no_grad():
            return float(self.module(self.images[:8].to(_device_of(self.module)), 1.0))


class _Loss(nn.Module):
    def __init__(self, part: str, model: PAE) -> None:
        super().__init__()
        self.network = model.autoencoder if part == "autoencoder" else model.require_flow()

    def forward(self, x: Tensor, _fraction: float) -> Tensor:
        if isinstance(self.network, Autoencoder):
            return (self.network(x) - x).square().mean()
        return -self.network.log_prob(x).mean()


def _device_of(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


@pytest.mark.parametrize("part", ["autoencoder", "flow"])
def test_training_with_averaging_is_the_same_there(
    part: str, fitted: PAE, blobs: Tensor, device: torch.device, tmp_path: Path
) -> None:
    settings = OptimiserSettings(
        method="adamw", epochs=2, batch_size=16, averaging=0.9, learning_rate=1e-3
    )

    def trained(where: torch.device) -> tuple[TrainingLoop, Stage]:
        stage = Stage(part, copy.deepcopy(fitted), blobs[:32])
        loop = TrainingLoop(
            stage, name="test", settings=settings, seed=0, state_file=tmp_path / where.type,
            described={}, content_hash="", accelerator=OnDevice(where), use_bfloat16=False,
            progress=NullProgress(),
        )  # type: ignore[arg-type]  # fmt: skip
        loop.run()
        return loop, stage

    expected, stage = trained(torch.device("cpu"))
    found, there = trained(device)
    before = Stage(part, fitted, blobs[:32]).module.state_dict()
    weights = stage.module.state_dict()
    assert any(not torch.equal(weights[name], before[name]) for name in weights)
    for name, value in there.module.state_dict().items():
        assert value.device == device
        torch.testing.assert_close(value.cpu(), weights[name], rtol=1e-3, atol=1e-4)
    assert found.state.best_metric == pytest.approx(expected.state.best_metric, rel=1e-3)
    # what was saved there goes on here: the file is the same
    again, _ = trained(torch.device("cpu"))
    again.restore(TrainingState.load(tmp_path / device.type))
    assert again.state.step == expected.state.step == 4
