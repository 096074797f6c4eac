import pytest
import torch
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
