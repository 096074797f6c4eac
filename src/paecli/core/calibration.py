"""What held-out images tell about the errors a restoration makes.

Two things go wrong when the likelihood takes pixels for independent Gaussians:

- Errors of neighbouring pixels go together, so many observed pixels say less than they
  seem to. The score of the likelihood at the true latents then varies more than its
  curvature says; the ratio of the two is how much the model's variance must be inflated
  (the magnitude adjustment of composite likelihoods: Pauli, Racugno & Ventura, Statistica
  Sinica 21 (2011) 149). It is measured for the very mask in hand.
- A pixel's error depends on the decoded value, and on how much the decoded image changes
  around it. See `paecli.core.posterior.pixel_table`.
"""

from typing import Any

import torch
from torch import Tensor, nn

from paecli.core.posterior.pixel_table import LEVELS, tabulate_pixels
from paecli.core.posterior.target import Generate, Target

KEPT_IMAGES = 48  # held-out images that are stored with the model to measure inflation
LARGEST_INFLATION = 1000.0
HALVINGS = 20  # of the interval in which the inflation is searched; leaves it to 1e-5


class Calibration(nn.Module):
    """Measured errors of a model; empty and without effect until `fit_calibration`.

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
        """Creates an empty calibration."""
        super().__init__()
        self.register_buffer("edges", torch.zeros(0))
        self.register_buffer("quantiles", torch.zeros(0, LEVELS))
        self.register_buffer("u", torch.zeros(0, 1))
        self.register_buffer("images", torch.zeros(0, 1, 1, 1, dtype=torch.uint8))

    @property
    def fitted(self) -> bool:
        """Whether there is anything in it."""
        return len(self.quantiles) > 0

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # the sizes depend on the fit, and files without a calibration are fine
        for name, buffer in list(self.named_buffers()):
            stored = state_dict.setdefault(prefix + name, buffer)
            setattr(self, name, torch.empty_like(stored))
        super()._load_from_state_dict(state_dict, prefix, *rest)


@torch.no_grad()
def fit_calibration(
    calibration: Calibration, *, u: Tensor, images: Tensor, decoded: Tensor
) -> None:
    """Measures a calibration on images that no stage was trained on.

    Args:
        calibration: what to fill.
        u: `(n, k)` base vectors of the images, `to_base(encode(x))`.
        images: `(n, c, h, w)` in [0, 1].
        decoded: `(n, c, h, w)` their reconstructions.
    """
    calibration.edges, calibration.quantiles = tabulate_pixels(decoded, images)
    calibration.u = u[:KEPT_IMAGES].clone()
    calibration.images = (images[:KEPT_IMAGES] * 255).round().to(torch.uint8)


def measure_inflation(
    calibration: Calibration, generate: Generate, *, sigma: Tensor, observed: Tensor
) -> float:
    """Measures by how much to inflate the model's variance for one mask.

    The factor is the one at which the posterior, linearised at the true latents of the kept
    images, is as wide in the missing pixels (in all, if none is missing) as its mean is wrong.

    Args:
        calibration: with held-out images.
        generate: maps base vectors `(b, k)` to images.
        sigma: `(c, h, w)` standard deviation of a pixel.
        observed: `(c, h, w)`, True where observed.

    Returns:
        A factor from 1 to `LARGEST_INFLATION`; 1 without held-out images or observed pixels.
    """
    if not calibration.fitted or not observed.any():
        return 1.0
    u, data = calibration.u.to(sigma), calibration.images.flatten(1).to(sigma) / 255
    everything = torch.ones_like(data, dtype=torch.bool)
    target = Target(
        generate, data, sigma.flatten().square().expand_as(data), everything, u.shape[1]
    )
    images, jacobian = target.jacobian(u[:, None])
    seen = observed.flatten()
    wanted = ~seen if not seen.all() else seen
    weighted = (jacobian / target.variance[:, None, None])[..., seen].squeeze(1).double()
    precision = weighted @ jacobian[:, 0][..., seen].double().mT
    score = weighted @ (data - images[:, 0])[:, seen, None].double()
    metric = jacobian[:, 0][..., wanted].double()
    metric = metric @ metric.mT
    identity = torch.eye(u.shape[1], dtype=torch.float64, device=u.device)

    def is_too_narrow(factor: float) -> bool:
        covariance = torch.linalg.inv(precision / factor + identity)
        wrong = covariance @ (score / factor - u.double()[..., None])
        return bool((wrong.mT @ metric @ wrong).sum() > (covariance * metric).sum())

    low, high = 1.0, LARGEST_INFLATION
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if is_too_narrow(middle) else (low, middle)
    return high if low > 1 else 1.0
