"""What held-out images tell about the errors a restoration makes, stored with the model.

Two things go wrong when the likelihood takes pixels for independent Gaussians. Errors of
neighbouring pixels go together: see `paecli.restoration.inflation`. And a pixel's error depends on
its decoded value and what is around it: see `paecli.model.pixel_table`.
"""

import torch
from torch import Tensor

from paecli.model.pixel_table import LEVELS, tabulate_pixels
from paecli.model.sized_by_file import SizedByFile
from paecli.system.limits import spread

ENOUGH = 19  # images behind p-values: the smallest is then 1 / 20
KEPT_IMAGES = 48  # held-out images that are stored with the model to measure inflation


def fitting_part(images: Tensor) -> Tensor:
    """Returns the part of held-out images `(n, ...)` that sigma and the statistics are measured on.

    It is every second one; of few images every third or fourth, so that those left over for
    p-values are enough for a rate of .05.
    """
    return images[:: _step(len(images))]


def calibration_part(images: Tensor) -> Tensor:
    """Returns the others: p-values are valid only against images `(n, ...)` not fitted to."""
    if len(images) < 2:
        return images
    return images[torch.arange(len(images)) % _step(len(images)) > 0]


def _step(count: int) -> int:
    """Returns the smallest step that leaves enough images between those it takes."""
    return next((step for step in (2, 3) if count - -(-count // step) >= ENOUGH), 4)


class HeldOutErrors(SizedByFile):
    """Measured errors of a model; empty and without effect until `fit_held_out_errors`.

    Attributes:
        edges: `(strata - 1,)` edges between strata of the decoded image's local variation.
        quantiles: `(strata * knots, levels)` quantiles of true pixels, see `tabulate_pixels`;
            no rows before fitting. A file of the first release has one stratum and no edges.
        u: `(m, k)` base vectors of held-out images.
        images: `(m, c, h, w)` these images, uint8.
    """

    edges: Tensor
    quantiles: Tensor
    u: Tensor
    images: Tensor

    def __init__(self) -> None:
        """Starts without any."""
        super().__init__()
        self.register_buffer("edges", torch.zeros(0))
        self.register_buffer("quantiles", torch.zeros(0, LEVELS))
        self.register_buffer("u", torch.zeros(0, 1))
        self.register_buffer("images", torch.zeros(0, 1, 1, 1, dtype=torch.uint8))

    @property
    def fitted(self) -> bool:
        """Whether there is anything in it."""
        return len(self.quantiles) > 0


@torch.no_grad()
def fit_held_out_errors(
    errors: HeldOutErrors, *, u: Tensor, images: Tensor, decoded: Tensor
) -> None:
    """Measures the errors on images that no stage was trained on.

    Args:
        errors: what to fill.
        u: `(n, k)` base vectors of the images, `to_base(encode(x))`.
        images: `(n, c, h, w)` in [0, 1].
        decoded: `(n, c, h, w)` their reconstructions.
    """
    errors.edges, errors.quantiles = tabulate_pixels(decoded, images)
    kept = spread(len(u), KEPT_IMAGES)
    errors.u = u[kept]
    errors.images = (images[kept] * 255).round().to(torch.uint8)
