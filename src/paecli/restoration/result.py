"""What a restoration returns."""

from dataclasses import dataclass

import torch
from torch import Tensor

LEVELS = (0.5, 0.8, 0.95)  # of the intervals whose coverage is counted


@dataclass(frozen=True)
class Mode:
    """One reading of the damaged image.

    Attributes:
        u: `(k,)` place in the flow's base space.
        image: `(c, h, w)` the restored image there.
        log_posterior: `log p(u, d)` in nats.
        weight: share of the posterior by Laplace's approximation, in (0, 1].
    """

    u: Tensor
    image: Tensor
    log_posterior: float
    weight: float


@dataclass(frozen=True)
class Diagnostics:
    """Whether the draws can be trusted; None where a method has no such number.

    Attributes:
        pareto_k: shape of the tail of the importance ratios (`is`); good below 0.7.
        rhat: largest R-hat over the latents (`hmc`); good up to 1.05.
        ess: effective sample size; good from 33 (`smc`).
        passed: whether they are good; None for approximations, and for draws from the prior.
        disagreement: difference of the mean images of two independent halves in posterior
            standard deviations, root mean square over the missing pixels (`smc`); good up to 0.35.
        evidence_gap: difference of their log evidences in nats (`smc`); good up to 1.5.
        ancestors: draws of the prior whose descendants are left in the half with fewer (`smc`);
            good from 3.
    """

    pareto_k: float | None
    rhat: float | None
    ess: float
    passed: bool | None
    disagreement: float | None = None
    evidence_gap: float | None = None
    ancestors: int | None = None


@dataclass(frozen=True)
class Restoration:
    """A restored image with its uncertainty.

    Without noise the observed pixels of `map`, `mean`, `samples` and the modes' images are
    those of the input, and their `std` is 0.

    Attributes:
        map: `(c, h, w)` image at the posterior's highest mode.
        mean: `(c, h, w)` posterior mean.
        std: `(c, h, w)` predictive standard deviation: posterior spread and model error.
        samples: `(s, c, h, w)` draws of the restored image, without pixel-wise model error.
        samples_u: `(s, k)` the same in the base space.
        predictive: `(s, c, h, w)` draws of the true pixels in [0, 1], with model error;
            their quantiles are the intervals. The samples belong to as many of them, evenly spaced
            from the first to the last.
        modes: distinct readings, heaviest first.
        chi2: squared misfit of `map` on the observed values, in units of their variance.
        degrees_of_freedom: observed values.
        diagnostics: of the method used.
        method: the method used: `map`, `laplace`, `mixture`, `is`, `hmc`, `smc`, or `prior` where
            nothing is observed.
        note: why another method was used than the first choice, or what to be wary of.
        seconds: time the image's batch took, divided by its images.
    """

    map: Tensor
    mean: Tensor
    std: Tensor
    samples: Tensor
    samples_u: Tensor
    predictive: Tensor
    modes: tuple[Mode, ...]
    chi2: float
    degrees_of_freedom: int
    diagnostics: Diagnostics
    method: str
    note: str
    seconds: float

    def interval(self, level: float) -> tuple[Tensor, Tensor]:
        """Returns the central interval of every pixel: lower and upper ends, `(c, h, w)`.

        Args:
            level: its probability, such as 0.8.
        """
        tails = torch.tensor([(1 - level) / 2, (1 + level) / 2]).to(self.predictive)
        low, high = torch.quantile(self.predictive, tails, dim=0)
        return low, high

    def coverage(self, truth: Tensor, among: Tensor) -> dict[float, float]:
        """Returns the share of pixels whose true value lies in each interval of `LEVELS`.

        A pixel has some probability of being exactly 0 or 1. Where the truth is such a value,
        the predictive distribution function jumps over a range, and the pixel counts by the
        part of that range inside the interval (the non-randomised probability integral
        transform; Czado, Gneiting & Held, Biometrics 65 (2009) 1254). Counting such pixels
        as inside would make any interval look too wide.

        Args:
            truth: `(c, h, w)` in [0, 1].
            among: `(c, h, w)` boolean: the pixels to count; at least one.
        """
        below, up_to = self.distribution_at(truth)
        below, up_to = below[among], up_to[among]
        return {level: _covered(below, up_to, level).mean().item() for level in LEVELS}

    def distribution_at(self, truth: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the probabilities of a value below and up to, `truth`; all `(c, h, w)`."""
        return (self.predictive < truth).float().mean(0), (self.predictive <= truth).float().mean(0)


def _covered(below: Tensor, up_to: Tensor, level: float) -> Tensor:
    low, high = (1 - level) / 2, (1 + level) / 2
    overlap = (up_to.clamp_max(high) - below.clamp_min(low)).clamp_min(0)
    inside = ((below >= low) & (below <= high)).float()
    jump = up_to - below
    return torch.where(jump > 0, overlap / jump.clamp_min(1e-12), inside)
