"""What a model does on a device that is not the CPU: the same, and there.

Not part of the suite: run `pytest tests/on_a_device.py`, a process of its own, since torch
wants to know its devices before it first takes a gradient. It has crashed at times; see
docs/decisions.md.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from paecli.api import PAE
from paecli.outliers.scores import fit_reference_scores

from .fake_device import register

DEVICE = register()


@pytest.fixture
def device() -> torch.device:
    return DEVICE


@pytest.fixture(scope="module")
def fitted(trained_pae: PAE, blobs: Tensor) -> PAE:
    model = copy.deepcopy(trained_pae)
    model.measure_errors(blobs[500:])
    fit_reference_scores(model, blobs[500:], training=blobs[:480])
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


def test_restorations_are_the_same_there(
    fitted: PAE, moved: PAE, blobs: Tensor, device: torch.device
) -> None:
    observed = torch.ones(28, 28)
    observed[:, :14] = 0
    options: dict[str, Any] = {"mask": observed, "method": "laplace", "samples": 3, "starts": 4}
    found = moved.restore(blobs[490].to(device), **options)
    expected = fitted.restore(blobs[490], **options)
    for name in ("map", "mean", "std", "samples", "predictive"):
        assert getattr(found, name).device == device
    assert (found.mean.cpu() - expected.mean).abs().mean().item() < 1e-2
    assert torch.equal(found.mean.cpu()[..., 14:], blobs[490][..., 14:])
