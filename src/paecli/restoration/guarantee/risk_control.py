"""Intervals that hold what they promise: one factor on their width, set on held-out images.

The risk of an image is the share of its missing pixels outside their intervals. It falls as the
factor grows, so the smallest factor whose risk is provably low enough can be found on images that
nothing was fitted to: risk-controlling prediction sets (Bates et al., arXiv:2101.02703) with the
bound of Waudby-Smith & Ramdas (their proposition 5), which knows how much images differ, and
conformal risk control (Angelopoulos et al., arXiv:2208.02814). The larger of both factors has both
guarantees.
"""

import torch
from torch import Tensor

from paecli.system.errors import UsageError

FAILURE = 0.1  # probability that the held-out images happen to mislead
FACTORS = torch.logspace(-2, 2, 401, dtype=torch.float64)  # from which one is chosen
HALVINGS = 12  # of [0, 1] in which the bound is searched


def upper_bound(losses: Tensor, *, failure: float = FAILURE) -> Tensor:
    """Bounds the mean of losses in [0, 1] from above, by betting against each candidate.

    Args:
        losses: `(n, f)`; each column is a sample.
        failure: probability that a bound is too low.

    Returns:
        `(f,)` float64 in [0, 1].

    Source: Waudby-Smith & Ramdas, as in Bates et al., arXiv:2101.02703, proposition 5.
    """
    losses = losses.double()
    count = torch.arange(1, len(losses) + 1, dtype=torch.float64)[:, None]
    mean = (0.5 + losses.cumsum(0)) / (1 + count)
    spread = (0.25 + (losses - mean).square().cumsum(0)) / (1 + count)
    # a bet may know what came before it only
    before = torch.cat((torch.full_like(spread[:1], 0.25), spread[:-1]))
    size = (2 * torch.log(torch.tensor(1 / failure)) / (len(losses) * before)).sqrt().clamp_max(1)
    limit = -torch.log(torch.tensor(failure, dtype=torch.float64))
    low, high = torch.zeros_like(losses[0]), torch.ones_like(losses[0])
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        # what betting against a mean this high would have earned; more, the higher it is
        refuted = torch.log1p(-size * (losses - middle)).cumsum(0).amax(0) > limit
        low, high = torch.where(refuted, low, middle), torch.where(refuted, middle, high)
    return high


def choose_factor(ratios: list[Tensor], confidence: float) -> float:
    """Returns the factor on intervals that gives them their confidence.

    Args:
        ratios: for each held-out image `(m,)`, the distance of its missing pixels from the centre
            of their intervals, in half widths.
        confidence: share of the missing pixels that the intervals shall hold, in (0, 1).

    Raises:
        UsageError: so few images cannot promise it.
    """
    losses = torch.stack([(ratio.double()[:, None] > FACTORS).double().mean(0) for ratio in ratios])
    count, allowed = len(losses), 1 - confidence
    expected = (losses.sum(0) + 1) / (count + 1)
    good = (upper_bound(losses) <= allowed) & (expected <= allowed)
    # the smallest factor from which on all are good
    holds = good.flip(0).cummin(0).values.flip(0)
    if not holds.any():
        raise UsageError(
            f"{count} held-out images cannot promise a confidence of {confidence:g}; more of them "
            "(--data-dir points to the model's data), or a lower one"
        )
    return FACTORS[int(holds.int().argmax())].item()
