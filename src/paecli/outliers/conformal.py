"""Conformal p-values, and which of many images to flag.

Vovk, Gammerman & Shafer, "Algorithmic Learning in a Random World" (2005); Bates et al.,
"Testing for Outliers with Conformal p-values", arXiv:2104.08279.
"""

import torch
from torch import Tensor


def p_values(scores: Tensor, reference: Tensor) -> Tensor:
    """Returns the share of reference images that are at least as unusual.

    For an in-distribution image that was not used to make the model, the chance of a p-value
    of `a` or less is at most `a`, whatever the score is and however it is distributed.

    Args:
        scores: `(b,)`, higher = more unusual.
        reference: `(n,)` ascending scores of held-out reference images.

    Returns:
        `(b,)` float64 in [1 / (n + 1), 1]: (1 + how many of `reference` reach the score) / (n + 1).
    """
    below = torch.searchsorted(reference.contiguous(), scores.contiguous(), side="left")
    return (1 + len(reference) - below).double() / (len(reference) + 1)


def benjamini_hochberg(p: Tensor, rate: float) -> Tensor:
    """Chooses which images to flag so that on average at most `rate` of these are mistakes.

    Valid for conformal p-values that share their reference scores (Bates et al., theorem 2).

    Args:
        p: `(m,)` p-values.
        rate: false discovery rate, in (0, 1).

    Returns:
        `(m,)` bool, whether each is flagged.

    Source: Benjamini & Hochberg, J. R. Stat. Soc. B 57 (1995) 289.
    """
    from scipy.stats import false_discovery_control

    return torch.from_numpy(false_discovery_control(p.numpy()) <= rate)
