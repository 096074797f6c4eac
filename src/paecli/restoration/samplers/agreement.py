"""Whether particles can be trusted: what two independent halves of a run say of each other.

Weights after resampling, and Pareto's k of them, tell of the last stage alone. Whether the whole
run was good shows where it is done twice: both halves must give the same image and the same
evidence. The genealogy says the same from within: particles that descend from few draws of the
prior count for few (Lee & Whiteley, "Variance estimation in the particle filter", Biometrika
105 (2018) 609).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

LEAST_SPREAD = 0.5 / 255  # standard deviation of a pixel below which a difference is invisible


@dataclass(frozen=True)
class Halves:
    """Images of the weighted particles of two independent halves, of one damaged image.

    Attributes:
        images: `(2, s, p)` the pixels that are asked for.
        log_weights: `(2, s)`; over both halves they weigh particles by the evidence of their
            population.
        ancestor: `(2, s)` index of the draw from the prior that each descends from.
    """

    images: Tensor
    log_weights: Tensor
    ancestor: Tensor

    def disagreement(self) -> float:
        """Returns the difference of the two mean images in posterior standard deviations.

        The root mean square over the pixels that vary; 0 if none does, NaN if any is NaN.
        """
        weights = self.log_weights.softmax(1).unsqueeze(-1).to(self.images)
        first, second = (weights * self.images).sum(1)
        spread = self._moments()[1].sqrt()
        varies = ~(spread <= LEAST_SPREAD)  # NaN stays in
        if not varies.any():
            return 0.0
        return float(((first - second) / spread)[varies].square().mean().sqrt())

    def evidence_gap(self) -> float:
        """Returns by how much the two estimates of the log evidence differ, in nats."""
        first, second = self.log_weights.logsumexp(1)
        return float((first - second).abs())

    def ancestors(self) -> int:
        """Returns how many draws of the prior have descendants, in the half with fewer."""
        return min(len(each.unique()) for each in self.ancestor)

    def effective_size(self) -> float:
        """Returns how many independent draws the mean image is worth, by the genealogy.

        0 where it cannot be told, since evidences or images are NaN.
        """
        mean, variance = self._moments()
        weights = self._weights()
        offset = (weights.unsqueeze(-1) * (self.images - mean)).flatten(0, 1)
        half = torch.arange(2, device=self.ancestor.device)[:, None]
        _, family = torch.unique(2 * self.ancestor + half, return_inverse=True)
        families = offset.new_zeros(int(family.max()) + 1, offset.shape[1])
        families.index_add_(0, family.flatten(), offset)
        error = families.square().sum()
        if error.isnan():
            return 0.0
        size = float(variance.sum() / error) if error > 0 else torch.inf
        return min(size, float(weights.numel()))

    def _weights(self) -> Tensor:
        """Returns the weights of all particles, `(2, s)`, summing to 1 over both halves."""
        flat: Tensor = self.log_weights.flatten().softmax(0).to(self.images)
        return flat.view(self.log_weights.shape)

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Returns the mean and the variance of every pixel over all particles: `(p,)` each."""
        weights = self._weights().unsqueeze(-1)
        mean = (weights * self.images).sum((0, 1))
        return mean, (weights * (self.images - mean).square()).sum((0, 1))
