"""What held-out images tell about the errors a restoration makes.

Two things go wrong when the likelihood takes pixels for independent Gaussians:

- Errors of neighbouring pixels go together, so many observed pixels say less than they
  seem to. The score of the likelihood at the true latents then varies more than its
  curvature says; the ratio of the two is how much the model's variance must be inflated
  (the magnitude adjustment of composite likelihoods: Pauli, Racugno & Ventura, Statistica
  Sinica 21 (2011) 149). It is measured for the very mask in hand.
- A pixel's error depends on the decoded value: background is nearly certain, edges are not.
  The distribution of the true pixel given the decoded one is tabulated by its quantiles.
"""

from typing import Any

import torch
from torch import Tensor, nn

from paecli.core.posterior.map import gauss_newton
from paecli.core.posterior.target import Generate, Target

KNOTS = (0, .002, .005, .01, .02, .035, .05, .075, .1, .15, .2, .25, .3, .35, .4, .45, .5,
         .55, .6, .65, .7, .75, .8, .85, .9, .925, .95, .97, .98, .99, 1)  # fmt: skip
LEVELS = 64  # quantiles of a knot's distribution, at (i + 1/2) / 64
FEWEST = 200  # pixels that a knot's quantiles need
KEPT_IMAGES = 48  # held-out images that are stored with the model to measure inflation
CAUTION = 1.5  # on the inflation; linearised scores miss part of it, found on held-out images


class Calibration(nn.Module):
    """Measured errors of a model; empty and without effect until `fit_calibration`.

    Attributes:
        quantiles: `(knots, levels)` quantiles of true pixels whose decoded value is near each
            of `KNOTS`; `(0, levels)` before fitting.
        u: `(m, k)` base vectors of held-out images.
        images: `(m, c, h, w)` these images, uint8.
    """

    quantiles: Tensor
    u: Tensor
    images: Tensor

    def __init__(self) -> None:
        """Creates an empty calibration."""
        super().__init__()
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
    calibration.quantiles = tabulate_pixels(decoded.flatten(), images.flatten())
    calibration.u = u[:KEPT_IMAGES].clone()
    calibration.images = (images[:KEPT_IMAGES] * 255).round().to(torch.uint8)


def tabulate_pixels(decoded: Tensor, true: Tensor) -> Tensor:
    """Tabulates quantiles of the true pixel at each knot of the decoded one.

    Args:
        decoded: `(pixels,)` decoded values in [0, 1].
        true: `(pixels,)` true values in [0, 1].

    Returns:
        `(len(KNOTS), LEVELS)`; knots with too few pixels hold the knot's own value.
    """
    knots = torch.tensor(KNOTS).to(decoded)
    nearest = torch.bucketize(decoded, (knots[1:] + knots[:-1]) / 2)
    table = knots[:, None].repeat(1, LEVELS)
    for index in range(len(knots)):
        values = true[nearest == index].sort().values
        if len(values) >= FEWEST:
            at = (torch.arange(LEVELS, device=values.device) + 0.5) / LEVELS * len(values)
            table[index] = values[at.long()]
    return table


def measure_inflation(
    calibration: Calibration, generate: Generate, *, sigma: Tensor, observed: Tensor
) -> float:
    """Measures by how much to inflate the model's variance for one mask.

    Args:
        calibration: with held-out images.
        generate: maps base vectors `(b, k)` to images.
        sigma: `(c, h, w)` standard deviation of a pixel.
        observed: `(c, h, w)`, True where observed.

    Returns:
        A factor of at least 1; exactly 1 without held-out images or observed pixels.
    """
    if not calibration.fitted or not observed.any():
        return 1.0
    data = calibration.images.flatten(1).to(sigma) / 255
    target = Target(
        generate=generate,
        data=data,
        variance=sigma.flatten().square().expand_as(data),
        observed=observed.flatten().expand_as(data),
        latent_size=calibration.u.shape[1],
    )
    u = calibration.u[:, None].to(sigma)
    precision, slope = gauss_newton(target, u)
    score = slope + u.double()  # of the likelihood alone
    solved = torch.linalg.solve(precision, score.unsqueeze(-1)).squeeze(-1)
    identity = torch.eye(target.latent_size, dtype=torch.float64, device=u.device)
    informed = torch.linalg.solve(precision, precision - identity)
    expected = informed.diagonal(dim1=-2, dim2=-1).sum()
    ratio = float((score * solved).sum() / expected)
    return max(1.0, CAUTION * ratio)
