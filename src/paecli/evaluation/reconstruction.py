"""How well images are reconstructed: squared error, PSNR, SSIM."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

SSIM_WINDOW = 11  # pixels a side
SSIM_SIGMA = 1.5  # pixels
SSIM_STABILISERS = (0.01**2, 0.03**2)  # for values in [0, 1]
SSIM_BATCH = 500  # images at once; five filtered copies of each are held
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)

Interval = tuple[float, float]


@dataclass(frozen=True)
class ReconstructionQuality:
    """How well a set of images is reconstructed; pixels in [0, 1].

    Attributes:
        mse: mean squared error over all pixels of all images.
        mse_ci: 95 % interval of `mse` from the spread between images.
        psnr: mean over images of the peak signal-to-noise ratio, dB.
        ssim: mean over images of the structural similarity, 1 is perfect.
        mse_percentiles: percentile -> mean squared error of an image.
        per_class: class name -> mean squared error; empty without labels.
        pca_mse: mean squared error of as many principal components as the model has latents, of
            the images that it was trained on; None where these are not here.
    """

    mse: float
    mse_ci: Interval
    psnr: float
    ssim: float
    mse_percentiles: dict[str, float]
    per_class: dict[str, float]
    pca_mse: float | None = None


def reconstruction_quality(
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    labels: Tensor | None = None,
    classes: tuple[str, ...] = (),
) -> ReconstructionQuality:
    """Measures reconstructions against their originals.

    Args:
        batches: originals `(b, c, h, w)` in [0, 1] and their reconstructions, one batch after
            the other, so that a whole set need not be in memory; at least one image.
        labels: `(n,)` index into `classes`, or None.
        classes: names of the classes.
    """
    measured = [(squared_error(x, y), structural_similarity(x, y)) for x, y in batches]
    errors, similarities = (torch.cat(column) for column in zip(*measured, strict=True))
    errors = errors.double()
    points = torch.tensor(PERCENTILES, dtype=torch.float64, device=errors.device) / 100
    mse, mse_ci = mean_with_interval(errors)
    return ReconstructionQuality(
        mse=mse,
        mse_ci=mse_ci,
        psnr=peak_signal_to_noise(errors).mean().item(),
        ssim=similarities.mean().item(),
        mse_percentiles={
            str(point): value.item()
            for point, value in zip(PERCENTILES, errors.quantile(points), strict=True)
        },
        per_class=_class_means(errors, labels, classes),
    )


def mean_with_interval(values: Tensor) -> tuple[float, Interval]:
    """Returns the mean of `(n,)` values and its 95 % interval, as of a Gaussian."""
    mean = values.mean().item()
    half_width = 1.96 * values.std().item() / len(values) ** 0.5 if len(values) > 1 else 0.0
    return mean, (mean - half_width, mean + half_width)


def squared_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """Returns each image's mean squared error: `(n, c, h, w)` twice to `(n,)`."""
    return (x - x_hat).square().flatten(1).mean(1)


def peak_signal_to_noise(mse: Tensor) -> Tensor:
    """Returns `-10 log10(mse)`, the PSNR in dB for a peak of 1; a perfect image gives 100 dB."""
    return -10 * mse.clamp_min(1e-10).log10()


def structural_similarity(x: Tensor, y: Tensor) -> Tensor:
    """Measures the structural similarity of images (SSIM, Wang et al. 2004).

    A Gaussian window of 11 pixels and sigma 1.5, at every place where it lies inside
    the image (images below 11 pixels: the largest odd window that fits).

    Args:
        x: `(n, c, h, w)` in [0, 1].
        y: images of the same shape.

    Returns:
        `(n,)` in [-1, 1], the mean over channels and places.
    """
    pairs = zip(x.split(SSIM_BATCH), y.split(SSIM_BATCH), strict=True)
    return torch.cat([_similarity(a, b) for a, b in pairs])


def _similarity(x: Tensor, y: Tensor) -> Tensor:
    small, large = SSIM_STABILISERS
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x = _blur(x * x) - mean_x**2
    variance_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + small) / (mean_x**2 + mean_y**2 + small)
    structure = (2 * covariance + large) / (variance_x + variance_y + large)
    return (luminance * structure).flatten(1).mean(1)


def _blur(x: Tensor) -> Tensor:
    """Averages `(n, c, h, w)` under a Gaussian window, rows and columns in turn."""
    n, channels, height, width = x.shape
    images = x.reshape(n * channels, 1, height, width)
    rows = _gaussian_window(height).to(x).view(1, 1, -1, 1)
    columns = _gaussian_window(width).to(x).view(1, 1, 1, -1)
    blurred = torch.conv2d(torch.conv2d(images, rows), columns)
    return blurred.view(n, channels, *blurred.shape[2:])


def _gaussian_window(side: int) -> Tensor:
    size = min(SSIM_WINDOW, side - (side + 1) % 2)
    offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    window = (-0.5 * (offsets / SSIM_SIGMA) ** 2).exp()
    return window / window.sum()


def _class_means(
    errors: Tensor, labels: Tensor | None, classes: tuple[str, ...]
) -> dict[str, float]:
    if labels is None:
        return {}
    members = {name: errors[labels == index] for index, name in enumerate(classes)}
    return {name: values.mean().item() for name, values in members.items() if len(values)}
