"""What tests share: a small model, trained in about a second, and the folder it is saved in."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import hypothesis
import pytest
import torch
from torch import Tensor, nn

from paecli.api import PAE
from paecli.model.autoencoder import Autoencoder
from paecli.model.flow import LatentFlow
from paecli.store.checkpoint import Header, hash_tensors, save_pae

from .faulty_disk import FullDisk, full_disk_at

AUTOENCODER = {"network": "mlp", "image_shape": (1, 28, 28), "latent_size": 4, "width": 64}
FLOW = {"kind": "nsf", "latent_size": 4, "blocks": 2, "width": 16}


def pytest_configure(config: pytest.Config) -> None:
    if "PAE_CACHE" not in os.environ:  # else chosen, or inherited from the process that began
        # what earlier runs have kept must not answer for the code of today
        folder = tempfile.TemporaryDirectory(prefix="pae-tests-", ignore_cleanup_errors=True)
        os.environ["PAE_CACHE"] = folder.name
        config.add_cleanup(folder.cleanup)
    # tests run in a process a core, and commands in them choose no other number
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    # a machine may be busy: no test fails for being slow
    hypothesis.settings.register_profile("busy", deadline=None)
    hypothesis.settings.load_profile("busy")


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Makes every test draw the same random numbers each time and in any order."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def shared_model_unchanged(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test that changes `trained_pae`, not one of those that come after it."""
    yield
    if "trained_pae" in request.fixturenames:
        model = request.getfixturevalue("trained_pae")
        assert _fingerprint(model) == model.fingerprint, "copy trained_pae, do not change it"


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[FullDisk]]:
    """A disk that is full when the n-th file is written to, from 1; 0 is never."""
    return full_disk_at


@pytest.fixture(scope="session")
def blobs() -> Tensor:
    """600 pictures `(600, 1, 28, 28)` in [0, 1] of one blob: place, size and brightness vary."""
    draws = torch.rand(4, 600, 1, 1, generator=torch.Generator().manual_seed(1))
    row, column, size, brightness = 8 + 12 * draws[0], 8 + 12 * draws[1], 2 + 3 * draws[2], draws[3]
    rows, columns = torch.arange(28.0).view(1, 28, 1), torch.arange(28.0).view(1, 1, 28)
    squared_distance = (rows - row).square() + (columns - column).square()
    return ((0.5 + 0.5 * brightness) * torch.exp(-squared_distance / (2 * size**2))).unsqueeze(1)


@pytest.fixture(scope="session")
def trained_pae(blobs: Tensor) -> PAE:
    """A model of `blobs`, both stages; shared by all tests: do not change it."""
    torch.manual_seed(0)
    model = PAE(Autoencoder(**AUTOENCODER), LatentFlow(**FLOW))
    train, held_out = blobs[:500], blobs[500:]
    _minimise(model.autoencoder, train, lambda x: (model.autoencoder(x) - x).square().mean())
    model.eval()
    latents = model.encode(train)
    model.require_flow().fit_whitening(latents)
    _minimise(model.require_flow(), latents, lambda z: -model.require_flow().log_prob(z).mean())
    error = model.reconstruct(held_out) - held_out
    model.sigma.copy_(error.square().mean(0).sqrt().clamp_min(1e-3))
    model.reference_scores = {
        "log_prob": model.log_prob(held_out).sort().values,
        "reconstruction": error.square().mean((1, 2, 3)).sort().values,
    }
    model.fingerprint = _fingerprint(model.eval())
    return model


def _fingerprint(model: PAE) -> object:
    """What changes when a tensor of a model is written to or replaced."""
    tensors = model.state_dict(keep_vars=True) | model.reference_scores
    return {name: (x.data_ptr(), x._version, x.shape) for name, x in tensors.items()}


@pytest.fixture(scope="session")
def model_file(trained_pae: PAE, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of `trained_pae`, as `pae train-flow` leaves it."""
    path = tmp_path_factory.mktemp("run") / "model.safetensors"
    header = Header(
        kind="pae",
        autoencoder=AUTOENCODER,
        flow=FLOW,
        autoencoder_hash=hash_tensors(trained_pae.autoencoder.state_dict()),
        data={"name": "blobs"},
    )
    save_pae(path, trained_pae, header)
    return path


def _minimise(module: nn.Module, data: Tensor, loss_of: Callable[[Tensor], Tensor]) -> None:
    optimiser = torch.optim.Adam(module.parameters(), lr=5e-3)
    for _ in range(25):
        for batch in data[torch.randperm(len(data))].split(100):
            optimiser.zero_grad()
            loss_of(batch).backward()
            optimiser.step()
