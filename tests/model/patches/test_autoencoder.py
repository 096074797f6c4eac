import pytest
import torch
from torch import Tensor

from paecli.model.patches.autoencoder import PatchAutoencoder


@pytest.fixture
def features() -> Tensor:
    """Features `(500, 5)`: two strong directions, three weak ones."""
    strong = torch.randn(500, 2) @ torch.randn(2, 5)
    return 3 + strong + 0.05 * torch.randn(500, 5)


def fitted(features: Tensor, latent_size: int) -> PatchAutoencoder:
    autoencoder = PatchAutoencoder(size=features.shape[1], latent_size=latent_size)
    x = features.double()
    autoencoder.fit(x.sum(0), x.T @ x, len(x))
    return autoencoder


def test_no_other_two_directions_reconstruct_better(features: Tensor) -> None:
    autoencoder = fitted(features, 2)
    scaled = (features - features.mean(0)) / features.std(0, correction=0)
    best = torch.linalg.svdvals(scaled)[2:].square().sum()
    error = autoencoder.decode(autoencoder.encode(features)) - features
    error = (error / features.std(0, correction=0)).square().sum()
    torch.testing.assert_close(error, best, rtol=1e-3, atol=1e-3)


def test_all_latents_reconstruct_exactly(features: Tensor) -> None:
    autoencoder = fitted(features, 5)
    torch.testing.assert_close(
        autoencoder.decode(autoencoder.encode(features)), features, rtol=1e-4, atol=1e-4
    )
    assert autoencoder.explained() == pytest.approx(1)


def test_energy_is_half_the_number_of_directions_left_out(features: Tensor) -> None:
    autoencoder = fitted(features, 2)
    _, left_out = autoencoder.project(features)
    assert autoencoder.residual_energy(left_out).mean().item() == pytest.approx(1.5, rel=0.02)


def test_a_feature_that_never_varies_is_no_trouble() -> None:
    features = torch.cat((torch.randn(100, 2), torch.zeros(100, 1)), dim=1)
    autoencoder = fitted(features, 1)
    assert all(buffer.isfinite().all() for buffer in autoencoder.buffers())
    _, left_out = autoencoder.project(torch.tensor([[0.0, 0.0, 1.0]]))
    assert autoencoder.residual_energy(left_out).item() > 1e3


@pytest.mark.parametrize("latent_size", [0, 6])
def test_impossible_sizes_are_refused(latent_size: int) -> None:
    with pytest.raises(ValueError, match="take 1 to 5"):
        PatchAutoencoder(size=5, latent_size=latent_size)
