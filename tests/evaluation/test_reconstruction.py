import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from paecli.evaluation.reconstruction import (
    mean_with_interval,
    peak_signal_to_noise,
    reconstruction_quality,
    squared_error,
    structural_similarity,
)


def test_squared_error_is_a_mean_over_each_image_s_pixels() -> None:
    x = torch.zeros(2, 1, 2, 2)
    x_hat = torch.tensor([[[[0.0, 0.0], [0.0, 1.0]]], [[[0.5, 0.5], [0.5, 0.5]]]])
    assert squared_error(x, x_hat).tolist() == [0.25, 0.25]


@pytest.mark.parametrize(("mse", "decibels"), [(1.0, 0.0), (0.01, 20.0), (0.0, 100.0)])
def test_peak_signal_to_noise(mse: float, decibels: float) -> None:
    assert peak_signal_to_noise(torch.tensor([mse])).item() == pytest.approx(decibels)


def test_structural_similarity_agrees_with_scipy_s_gaussian_filter() -> None:
    x, y = torch.rand(2, 1, 1, 20, 24, dtype=torch.float64)

    def blur(image: torch.Tensor) -> torch.Tensor:
        # a radius of 5 pixels; the places whose window leaves the image are cut off
        return torch.from_numpy(gaussian_filter(image.numpy(), 1.5, radius=5)[5:-5, 5:-5])

    a, b = x[0, 0], y[0, 0]
    mean_a, mean_b = blur(a), blur(b)
    covariance = blur(a * b) - mean_a * mean_b
    variances = blur(a * a) - mean_a**2 + blur(b * b) - mean_b**2
    expected = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    expected = expected * (2 * covariance + 0.03**2) / (variances + 0.03**2)
    assert structural_similarity(x, y).item() == pytest.approx(expected.mean().item(), abs=1e-12)


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (2, 3, 8, 5), (1, 1, 1, 1)])
def test_an_image_is_perfectly_similar_to_itself(shape: tuple[int, ...]) -> None:
    x = torch.rand(shape)
    assert structural_similarity(x, x).tolist() == pytest.approx([1.0] * shape[0])


def test_similarity_falls_with_noise(blobs: torch.Tensor) -> None:
    x = blobs[:20]
    noisy = [(x + s * torch.randn_like(x)).clamp(0, 1) for s in (0.02, 0.1, 0.5)]
    means = [structural_similarity(x, y).mean().item() for y in noisy]
    assert means == sorted(means, reverse=True)


def test_quality_by_class_leaves_out_empty_classes() -> None:
    x = torch.zeros(4, 1, 12, 12)
    x_hat = torch.stack([torch.full((1, 12, 12), value) for value in (0.1, 0.1, 0.2, 0.2)])
    quality = reconstruction_quality(
        [(x, x_hat)], labels=torch.tensor([0, 0, 2, 2]), classes=("a", "b", "c")
    )
    assert quality.per_class == pytest.approx({"a": 0.01, "c": 0.04})
    assert quality.mse == pytest.approx(0.025)
    assert quality.mse_percentiles["99"] == pytest.approx(0.04, rel=1e-4)


def test_percentiles_are_those_of_numpy() -> None:
    x, x_hat = torch.rand(2, 41, 1, 12, 12)
    errors = (x - x_hat).square().mean((1, 2, 3)).numpy()
    found = reconstruction_quality([(x, x_hat)]).mse_percentiles
    assert list(found) == ["1", "5", "25", "50", "75", "95", "99"]
    expected = np.percentile(errors, [float(name) for name in found])
    assert list(found.values()) == pytest.approx(list(expected), rel=1e-5)


def test_the_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    hits = 0
    for _ in range(200):
        low, high = mean_with_interval(torch.randn(100))[1]
        hits += low <= 0 <= high
    assert 180 <= hits <= 199


def test_one_value_has_no_spread() -> None:
    assert mean_with_interval(torch.tensor([2.0])) == (2.0, (2.0, 2.0))


def test_batches_give_the_figures_of_the_whole() -> None:
    x, x_hat = torch.rand(2, 41, 1, 12, 12)
    whole = reconstruction_quality([(x, x_hat)])
    parts = reconstruction_quality(zip(x.split(7), x_hat.split(7), strict=True))
    assert parts.mse == pytest.approx(whole.mse)
    assert parts.ssim == pytest.approx(whole.ssim)
    assert parts.mse_percentiles == pytest.approx(whole.mse_percentiles)
