"""What a camera did to an image before it was seen: blur and down-sampling, as linear operators."""

from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from paecli.model.requirements import require_operator

REACH = 4.0  # standard deviations of a Gaussian blur; beyond is less than 1e-4 of it


@dataclass(frozen=True, eq=False)
class Operator:
    """A linear operator that acts on rows and columns alike in every channel.

    `A x = R x C'` for an image `x` of `(h, w)`, so that two small matrices are all of it.

    Attributes:
        rows: `R`, `(h', h)`.
        columns: `C`, `(w', w)`.
    """

    rows: Tensor
    columns: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """Maps images `(..., c, h, w)` to what is seen of them, `(..., c, h', w')`."""
        return self.rows.to(images) @ images @ self.columns.to(images).mT

    def flat(self, images: Tensor) -> Tensor:
        """Maps flattened images `(..., c h w)` to flattened ones `(..., c h' w')`."""
        size = (-1, self.rows.shape[1], self.columns.shape[1])
        return self(images.unflatten(-1, size)).flatten(-3)

    def variance(self, variance: Tensor) -> Tensor:
        """Returns the variance of what is seen, from that of independent pixels `(c, h, w)`."""
        return Operator(self.rows.square(), self.columns.square())(variance)


def build_operator(
    image_shape: tuple[int, int, int], *, blur: float = 0.0, downsample: int = 1
) -> Operator | None:
    """Builds blur, then down-sampling; None where there is neither.

    The blur is Gaussian and repeats the pixels at the edge. Down-sampling takes the mean of each
    block of `downsample` by `downsample` pixels, as shrinking by Pillow's box filter does.

    Args:
        image_shape: `(c, h, w)` of the model.
        blur: standard deviation in pixels of the model's size.
        downsample: side of the blocks.

    Raises:
        UsageError: a blur that is no standard deviation, or blocks that do not divide the image.
    """
    require_operator(image_shape, blur=blur, downsample=downsample)
    if blur == 0 and downsample == 1:
        return None
    rows, columns = (
        _averaging(side, downsample) @ _blurring(side, blur) for side in image_shape[1:]
    )
    return Operator(rows, columns)


def _blurring(side: int, blur: float) -> Tensor:
    matrix = torch.zeros(side, side, dtype=torch.float64)
    if blur == 0:
        return matrix.fill_diagonal_(1.0)
    reach = ceil(REACH * blur)
    offsets = torch.arange(-reach, reach + 1)
    weights = (-0.5 * (offsets.double() / blur).square()).exp()
    sources = (torch.arange(side)[:, None] + offsets).clamp(0, side - 1)
    return matrix.scatter_add_(1, sources, (weights / weights.sum()).expand(side, -1))


def _averaging(side: int, block: int) -> Tensor:
    return torch.eye(side // block, dtype=torch.float64).repeat_interleave(block, dim=1) / block
