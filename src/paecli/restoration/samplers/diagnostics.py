"""Whether chains have mixed, and how many independent draws they are worth.

Vehtari, Gelman, Simpson, Carpenter & Bürkner, "Rank-normalization, folding, and
localization: an improved R-hat", arXiv:1903.08008. Both numbers are those of arviz-stats and of
Stan's `posterior`, to the last digits.
"""

from math import log10

import torch
from torch import Tensor


def rhat(draws: Tensor) -> Tensor:
    """Returns the rank-normalised split R-hat, the larger of the plain and the folded one.

    Args:
        draws: `(steps, chains, ...)`, at least 4 steps.

    Returns:
        One value for each of `...`; near 1 when the chains agree.
    """
    halves = _split(draws)
    # the middle of an even number of draws lies between two: torch's median is the lower one
    folded = (halves - halves.flatten(0, 1).double().quantile(0.5, dim=0)).abs()
    return torch.maximum(_plain_rhat(rank_normalise(halves)), _plain_rhat(rank_normalise(folded)))


def effective_sample_size(draws: Tensor) -> Tensor:
    """Returns the bulk effective sample size of `(steps, chains, ...)` draws, one for each `...`.

    Autocorrelations are summed in pairs until a pair turns negative (Geyer's initial monotone
    sequence), over split and rank-normalised chains. Of that last pair the even lag still counts
    if it is positive, and no pair counts that reaches the last lags.
    """
    z = rank_normalise(_split(draws))
    steps, chains = z.shape[:2]
    within, total = _variances(z)
    correlation = 1 - (within - _autocovariance(z).mean(1)) / total
    correlation[0] = 1
    most = max((steps - 1) // 2, 1)
    even, odd = correlation[: 2 * most].unflatten(0, (most, 2)).unbind(1)
    pairs = even + odd
    positive = (pairs > 0).long().cumprod(0)
    last = positive[:-1].sum(0, keepdim=True)  # the first pair that is not, or the very last
    counted = pairs.cummin(0).values * positive * (_numbers(pairs) < last)
    time = 2 * counted.sum(0) + even.gather(0, last)[0].clamp_min(0) - 1
    time = time.clamp_min(1 / log10(steps * chains))
    sizes: Tensor = steps * chains / time
    return sizes


def rank_normalise(draws: Tensor) -> Tensor:
    """Replaces `(steps, chains, ...)` values by the Gaussian scores of their ranks."""
    columns = draws.flatten(0, 1).double().movedim(0, -1).contiguous()
    ordered = columns.sort(-1).values
    below = torch.searchsorted(ordered, columns)
    up_to = torch.searchsorted(ordered, columns, right=True)
    ranks = (below + 1 + up_to) / 2  # equal values, which rejections make, share their mean rank
    scores: Tensor = torch.special.ndtri((ranks.double() - 0.375) / (columns.shape[-1] + 0.25))
    return scores.movedim(-1, 0).reshape(draws.shape)


def _numbers(pairs: Tensor) -> Tensor:
    """Returns 0, 1, ... along the first dimension of `(m, ...)`, broadcastable to it."""
    return torch.arange(len(pairs), device=pairs.device).view(-1, *[1] * (pairs.ndim - 1))


def _split(draws: Tensor) -> Tensor:
    half = len(draws) // 2
    return torch.cat((draws[:half], draws[len(draws) - half :]), dim=1)


def _variances(draws: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the variance within chains and the estimate that counts both sources."""
    steps = len(draws)
    within = draws.var(0).mean(0)
    between = draws.mean(0).var(0)
    return within, (within * (steps - 1) / steps + between).clamp_min(1e-300)


def _plain_rhat(draws: Tensor) -> Tensor:
    within, total = _variances(draws)
    return (total / within.clamp_min(1e-300)).sqrt()


def _autocovariance(draws: Tensor) -> Tensor:
    """Returns the autocovariance of every chain at every lag, `(steps, chains, ...)`."""
    steps = len(draws)
    centred = draws - draws.mean(0)
    spectrum = torch.fft.rfft(centred, n=2 * steps, dim=0)
    products: Tensor = torch.fft.irfft(spectrum.abs().square(), n=2 * steps, dim=0)
    return products[:steps] / steps
