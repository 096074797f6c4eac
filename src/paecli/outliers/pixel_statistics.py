"""What lamp, lens and crop change in every image, told by its pixels without a model."""

import torch
from torch import Tensor
from torch.nn import functional

from paecli.model.requirements import PIXEL_STATISTICS

BATCH = 200  # images
WHITE = 1 - 0.5 / 255  # from here on a pixel is saturated
NO_CONTRAST = 1e-4  # variance that keeps images of one colour from being rough


@torch.no_grad()
def pixel_statistics(images: Tensor) -> dict[str, Tensor]:
    """Measures each of `PIXEL_STATISTICS`.

    Args:
        images: `(n, c, h, w)`, uint8 or float in [0, 1]; n may be 0.

    Returns:
        Each `(n,)` on the CPU: `brightness`, the mean pixel; `saturation`, the share of white
        pixels; `roughness`, the variance of pixels about the mean of their 3 x 3 surroundings, as a
        share of the image's variance.
    """
    rows = [_measure(batch.cpu()) for batch in images.split(BATCH)]
    return dict(zip(PIXEL_STATISTICS, torch.cat(rows, dim=1), strict=True))


def _measure(images: Tensor) -> Tensor:
    """Returns the statistics of a batch, `(3, n)`."""
    x = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    smooth = functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    flat = x.flatten(1)
    rough = (x - smooth).flatten(1).square().mean(1)
    spread = (flat - flat.mean(1, keepdim=True)).square().mean(1)
    return torch.stack(
        (flat.mean(1), (flat >= WHITE).float().mean(1), rough / (spread + NO_CONTRAST))
    )
