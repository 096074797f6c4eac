import pytest
import torch
from tests.peak_memory import peak_growth
from torch import Tensor

from paecli.evaluation.memorisation import memorisation, nearest_distance


def test_nearest_distance_is_per_pixel() -> None:
    x = torch.zeros(1, 1, 2, 2)
    others = torch.stack([torch.full((1, 2, 2), value) for value in (0.3, 0.5, 1.0)])
    assert nearest_distance(x, others).item() == pytest.approx(0.3)


def test_fresh_samples_are_no_copies(blobs: Tensor) -> None:
    result = memorisation(blobs[:150], blobs[150:300], blobs[300:])
    assert abs(result.copying_z) < 3
    assert result.very_close < 0.05
    assert result.training_images == 300


def test_copies_are_found(blobs: Tensor) -> None:
    train = blobs[300:]
    copies = (train[:150] + 0.001 * torch.randn_like(train[:150])).clamp(0, 1)
    result = memorisation(copies, blobs[150:300], train)
    assert result.copying_z < -10
    assert result.very_close > 0.9
    assert result.samples_distance < result.fresh_distance


def test_training_images_pass_in_strips() -> None:
    images = torch.randint(256, (20_000, 3, 32, 32), dtype=torch.uint8)  # 61 MB, as floats 246
    x = images[:4].float() / 255
    found: list[Tensor] = []
    assert peak_growth(lambda: found.append(nearest_distance(x, images))) < 160e6
    assert found[0].max() < 1e-3  # each is among them
    expected = torch.cdist(x.flatten(1) + 0.1, images.flatten(1).float() / 255).amin(1)
    again = nearest_distance(x + 0.1, images)
    torch.testing.assert_close(again, expected / 3072**0.5, rtol=1e-4, atol=1e-6)
