"""Several statements about an image on one scale, so that the loudest counts: the score `combined`.

Each statement is brought to the scale of a standard Gaussian by its quantiles over held-out images.
A sum of squares then tells combinations that no reference image has, also of values that are each
too ordinary (half the contrast: small errors, high density, few lights). The largest voice is the
score. How large the largest of several may be is left to held-out images to which none of this was
fitted; their scores give the p-values.
"""

import torch
from torch import Tensor

from paecli.model.sized_by_file import SizedByFile

# what is stated, in the order of the columns, and whether more of it is a larger number; see
# `paecli.outliers.ingredients`
STATEMENTS = {
    "density": False,
    "local density": False,
    "local error": True,
    "cycle": True,
    "grain": True,
    "error": True,
    "brightness": True,
    "detail": True,
    "sharpness": True,
    "highlights": True,
    "coarse error": True,
    "peak error": True,
    "excess light": True,
    "upright edges": True,
    "position across": True,
    "position down": True,
    "spot error": True,
    "patch error": True,
}
# not the distance to the nearest training image: it would make those very images unusual
NEIGHBOURS = "neighbours"
# Voices before the last, which is the combination of all statements, and how far each must be
# beyond the usual more than the first to be heard, in standard deviations. Chosen on held-out
# images and changed copies of them, see docs/decisions.md.
SINGLE = (NEIGHBOURS, "error", "coarse error")
RESERVE = (0.0, 1.3, 0.7, 0.65)
TAIL = (0.002, 0.005, 0.01, 0.02)
LEVELS = 32
EDGE = 3  # steps of a table that tell how it goes on beyond its ends
SMALLEST_STEP = 1e-6


def _gaussian_levels() -> tuple[Tensor, Tensor]:
    """Returns `(LEVELS,)` shares, denser in the tails, and the quantiles of N(0, 1) at them."""
    tail = torch.tensor(TAIL)
    shares = torch.cat((tail, torch.linspace(0.04, 0.96, LEVELS - 8), 1 - tail.flip(0)))
    return shares, torch.special.ndtri(shares)


class Voices(SizedByFile):
    """How statements about an image are made comparable, and which of them counts.

    Attributes:
        tables: `(2 + statements, LEVELS)` quantiles over held-out images: of the comparison with
            the neighbours, of the statements, of their combination; no rows before `fit`.
        precision: `(statements, statements)` inverse covariance of the statements on the scale of
            standard Gaussians.
    """

    tables: Tensor
    precision: Tensor

    def __init__(self) -> None:
        """Starts silent."""
        super().__init__()
        self.register_buffer("tables", torch.zeros(0, LEVELS))
        self.register_buffer("precision", torch.zeros(0, len(STATEMENTS)))

    @property
    def fitted(self) -> bool:
        """Whether it knows what is usual."""
        return len(self.tables) > 0

    @torch.no_grad()
    def fit(self, neighbours: Tensor, statements: Tensor) -> None:
        """Learns what is usual.

        Args:
            neighbours: `(n,)` how held-out images compare with their neighbours, n at least 1.
            statements: `(n, statements)` about the same images.
        """
        shares = _gaussian_levels()[0].to(statements)
        columns = torch.cat((neighbours[:, None], statements), dim=1)
        tables = columns.quantile(shares, dim=0).T
        values = _on_gaussian_scale(statements, tables[1:])
        count, width = statements.shape
        # few images: towards independence, so that there is an inverse
        covariance = values.T @ values / count + width / count * torch.eye(width).to(values)
        self.precision = torch.linalg.inv(covariance).contiguous()
        combination = self._combination(values).quantile(shares)
        self.tables = torch.cat((tables, combination[None]))

    def speak(self, neighbours: Tensor, statements: Tensor) -> Tensor:
        """Returns what each voice says, `(b, voices)`, in standard deviations less its reserve.

        Args:
            neighbours: `(b,)`.
            statements: `(b, statements)`.
        """
        values = _on_gaussian_scale(statements, self.tables[1:-1])
        names = list(STATEMENTS)
        single = [values[:, names.index(name)] for name in SINGLE[1:]]
        scaled = _on_gaussian_scale(neighbours[:, None], self.tables[:1])[:, 0]
        combination = self._combination(values)[:, None]
        last = _on_gaussian_scale(combination, self.tables[-1:])[:, 0]
        return torch.stack((scaled, *single, last), dim=1) - scaled.new_tensor(RESERVE)

    def name_loudest(self, neighbours: Tensor, statements: Tensor) -> list[str]:
        """Names for each image the voice that made its score.

        In the combination it is the statement that adds most to the sum of squares, and whether
        there is unusually much or little of it, such as `sharpness low`.

        Args:
            neighbours: `(b,)`.
            statements: `(b, statements)`.
        """
        loudest = self.speak(neighbours, statements).argmax(1).tolist()
        values = _on_gaussian_scale(statements, self.tables[1:-1])
        leading = ((values @ self.precision) * values).argmax(1).tolist()
        names = []
        for voice, column, row in zip(loudest, leading, values, strict=True):
            if voice < len(SINGLE):
                names.append(SINGLE[voice])
                continue
            name, rises = list(STATEMENTS.items())[column]
            names.append(f"{name} {'high' if (row[column] > 0) == rises else 'low'}")
        return names

    def _combination(self, values: Tensor) -> Tensor:
        """Returns the logarithm of the squared Mahalanobis length of `(b, statements)`: `(b,)`."""
        return ((values @ self.precision) * values).sum(1).clamp_min(SMALLEST_STEP).log()


def _on_gaussian_scale(values: Tensor, tables: Tensor) -> Tensor:
    """Maps values by tables of their quantiles to those of N(0, 1).

    Between levels it is linear, and goes on beyond the ends as steeply as near to them, so that
    values that no held-out image reached still differ.

    Args:
        values: `(b, v)`.
        tables: `(v, LEVELS)` ascending.

    Returns:
        `(b, v)`.
    """
    gaussian = _gaussian_levels()[1].to(tables)
    # equal quantiles, as of few images, would divide by nothing
    steps = torch.arange(LEVELS).to(tables) * SMALLEST_STEP
    tables = tables + steps * (1 + tables.abs().amax(1, keepdim=True))
    columns = values.T.contiguous()
    above = torch.searchsorted(tables.contiguous(), columns).clamp(1, LEVELS - 1)
    low, high = tables.gather(1, above - 1), tables.gather(1, above)
    inside = gaussian[above - 1] + (columns - low) / (high - low) * (
        gaussian[above] - gaussian[above - 1]
    )
    first, last = tables[:, :1], tables[:, -1:]
    rise = gaussian[EDGE] - gaussian[0]  # the same at both ends
    below = gaussian[0] + (columns - first) * rise / (tables[:, EDGE, None] - first)
    beyond = gaussian[-1] + (columns - last) * rise / (last - tables[:, -1 - EDGE, None])
    outside = torch.where(columns > last, beyond, below)
    return torch.where((columns > last) | (columns < first), outside, inside).T
