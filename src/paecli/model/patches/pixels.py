"""Features of patches without a trained network: local derivatives at several scales."""

import torch
from torch import Tensor
from torch.nn import functional as F

STRIDE = 16  # pixels of the working image from one patch to the next
LEVELS = 4  # of the pyramid, each half the size of the one before
# Gaussian of standard deviation 1 and its first two derivatives, at -2 ... 2
SMOOTH = (0.0545, 0.2442, 0.4026, 0.2442, 0.0545)
SLOPE = (-0.1080, -0.2420, 0.0, 0.2420, 0.1080)
BEND = (0.1620, 0.0, -0.3240, 0.0, 0.1620)
FILTERS = ((SMOOTH, SLOPE), (SLOPE, SMOOTH), (SMOOTH, BEND), (BEND, SMOOTH), (SLOPE, SLOPE))
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601
STATISTICS = 3  # of each filter's output over a patch: mean of squares, largest, smallest
COLOURS = 3  # luma, and red and blue less luma


class PixelFeatures:
    """Means of colours, and how strongly edges, ridges and corners answer, at four scales.

    Derivatives of Gaussians (the "local jet": Koenderink & van Doorn, Biol. Cybern. 55, 1987)
    of each level of a pyramid; over each patch the root mean square of the answers and their
    extremes, by which a small spot stands out of a large patch.
    """

    name = "pixels"
    identity = ""
    size = LEVELS * (COLOURS + STATISTICS * len(FILTERS))
    odds_weight = 1.0

    def __init__(self) -> None:
        """Builds the filters."""
        kernels = [torch.outer(torch.tensor(rows), torch.tensor(cols)) for rows, cols in FILTERS]
        self.kernels = torch.stack(kernels)[:, None]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Maps `(b, 1 or 3, h, w)` in [0, 1] to `(b, 72, h / 16, w / 16)`."""
        level = _colours(images)
        grid = (images.shape[-2] // STRIDE, images.shape[-1] // STRIDE)
        parts = []
        for _ in range(LEVELS):
            parts += [F.adaptive_avg_pool2d(level, grid), *self._answers(level[:, :1], grid)]
            level = F.avg_pool2d(level, 2)
        return torch.cat(parts, dim=1)

    def _answers(self, luma: Tensor, grid: tuple[int, int]) -> list[Tensor]:
        """Returns the statistics of the filters' answers over each patch."""
        answers = F.conv2d(F.pad(luma, (2,) * 4, mode="reflect"), self.kernels)
        energy = F.adaptive_avg_pool2d(answers.square(), grid).sqrt()
        return [energy, _largest(answers, grid), -_largest(-answers, grid)]


def _largest(answers: Tensor, grid: tuple[int, int]) -> Tensor:
    """Takes the largest value in a patch and a cell around it."""
    return F.max_pool2d(F.adaptive_max_pool2d(answers, grid), 3, 1, 1)


def _colours(images: Tensor) -> Tensor:
    """Maps grey or RGB to luma and two colour differences, which are 0 for grey."""
    rgb = images.expand(-1, 3, -1, -1)
    luma = (rgb * rgb.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return torch.cat((luma, rgb[:, :1] - luma, rgb[:, 2:] - luma), dim=1)
