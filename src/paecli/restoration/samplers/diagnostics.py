"""Whether chains have mixed, and how many independent draws they are worth.

Vehtari, Gelman, Simpson, Carpenter & Bürkner, "Rank-normalization, folding, and
localization: an improved R-hat", arXiv:1903.08008.
"""

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
    folded = (halves - halves.flatten(0, 1).median(dim=0).values).abs()
    return torch.maximum(_plain_rhat(rank_normalise(halves)), _plain_rhat(rank_normalise(folded)))


def effective_sample_size(draws: Tensor) -> Tensor:
    """Returns the bulk effective sample size of `(steps, chains, ...)` draws, one for each `...`.

    Autocorrelations are summed in pairs until a pair turns negative (Geyer's monotone
    sequence), over split and rank-normalised chains.
    """
    z = rank_normalise(_split(draws))
    steps, chains = z.shape[:2]
    within, total = _variances(z)
    correlation = 1 - (within - _autocovariance(z).mean(1)) / total
    pairs = correlation[: steps // 2 * 2].unflatten(0, (-1, 2)).sum(1)
    positive = (pairs > 0).cumprod(0)
    monotone = pairs.cummin(0).values * positive
    time = (2 * monotone.sum(0) - 1).clamp_min(1 / torch.tensor(float(steps * chains)).log10())
    sizes: Tensor = steps * chains / time
    return sizes


def rank_normalise(draws: Tensor) -> Tensor:
    """Replaces `(steps, chains, ...)` values by the normal scores of their ranks."""
    flat = draws.flatten(0, 1).double()
    ranks = flat.argsort(0).argsort(0).double() + 1
    scores: Tensor = torch.special.ndtri((ranks - 0.375) / (len(flat) + 0.25))
    return scores.reshape(draws.shape)


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
