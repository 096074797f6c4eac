"""Precision, recall, density and coverage: fidelity and diversity taken apart.

Kynkaanniemi et al., arXiv:1904.06991 (precision, recall); Naeem et al.,
arXiv:2002.09797 (density, coverage).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from paecli.evaluation.reconstruction import mean_with_interval

NEIGHBOURS = 5  # k of every ball: from a vector to its k-th nearest in the same set
ROWS = 1000  # distances are computed in strips of so many rows


@dataclass(frozen=True)
class PrecisionRecall:
    """How two feature sets overlap; every value with a 95 % interval.

    Attributes:
        precision: fraction of generated vectors inside some ball of a real one, [0, 1].
        recall: fraction of real vectors inside some ball of a generated one, [0, 1].
        density: mean number of real balls that hold a generated vector, over k; 1 is expected.
        coverage: fraction of real balls that hold some generated vector, [0, 1].
    """

    precision: float
    precision_ci: tuple[float, float]
    recall: float
    recall_ci: tuple[float, float]
    density: float
    density_ci: tuple[float, float]
    coverage: float
    coverage_ci: tuple[float, float]


def measure_precision_recall(
    real: Tensor, generated: Tensor, *, neighbours: int = NEIGHBOURS
) -> PrecisionRecall:
    """Compares real features `(n, d)` with generated ones `(m, d)`.

    The balls reach from each vector to its k-th nearest neighbour in its own set.
    The intervals come from the spread over vectors with the balls held fixed.

    Args:
        real: features `(n, d)`, n above `neighbours`.
        generated: features `(m, d)`, m above `neighbours`.
        neighbours: k.
    """
    real_radii = _ball_radii(real, neighbours)
    generated_radii = _ball_radii(generated, neighbours)
    balls_around = torch.zeros(len(generated), dtype=torch.float64)  # real balls, per generated
    ball_hit = []  # per real vector: does its ball hold a generated one?
    recalled = []  # per real vector: does it lie in a ball of a generated one?
    for rows, radii in zip(real.split(ROWS), real_radii.split(ROWS), strict=True):
        distances = torch.cdist(rows, generated)
        inside = distances <= radii[:, None]
        balls_around += inside.sum(0).cpu()
        ball_hit.append(inside.any(1))
        recalled.append((distances <= generated_radii).any(1))
    precision, precision_ci = mean_with_interval((balls_around > 0).double())
    recall, recall_ci = mean_with_interval(torch.cat(recalled).double())
    density, density_ci = mean_with_interval(balls_around / neighbours)
    covered, covered_ci = mean_with_interval(torch.cat(ball_hit).double())
    return PrecisionRecall(
        precision, precision_ci, recall, recall_ci, density, density_ci, covered, covered_ci
    )


def _ball_radii(features: Tensor, neighbours: int) -> Tensor:
    """Returns each vector's distance to its k-th nearest other one, `(n,)`."""
    # the nearest of all is the vector itself
    strips = [
        torch.cdist(rows, features).kthvalue(neighbours + 1, dim=1).values
        for rows in features.split(ROWS)
    ]
    return torch.cat(strips)
