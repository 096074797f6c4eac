"""Conformal p-values, and which of many images to flag.

Vovk, Gammerman & Shafer, "Algorithmic Learning in a Random World" (2005); Bates et al.,
"Testing for Outliers with Conformal p-values", arXiv:2104.08279.
"""

import torch
from torch import Tensor


def p_values(scores: Tensor, normal: Tensor) -> Tensor:
    """Returns the share of normal images that are at least as unusual.

    For a normal image that was not used to make the model, the chance of a p-value of `a` or
    less is at most `a`, whatever the score is and however it is distributed.

    Args:
        scores: `(b,)`, higher = more unusual.
        normal: `(n,)` ascending scores of held-out normal images.

    Returns:
        `(b,)` float64 in [1 / (n + 1), 1]: (1 + how many of `normal` reach the score) / (n + 1).
    """
    below = torch.searchsorted(normal.contiguous(), scores.contiguous(), side="left")
    return (1 + len(normal) - below).double() / (len(normal) + 1)


def benjamini_hochberg(p: Tensor, rate: float) -> Tensor:
    """Chooses which images to flag so that at most `rate` of the flagged are normal on average.

    Valid for conformal p-values that share their normal scores (Bates et al., theorem 2).

    Args:
        p: `(m,)` p-values.
        rate: false discovery rate, in (0, 1).

    Returns:
        `(m,)` bool, whether each is flagged.

    Source: Benjamini & Hochberg, J. R. Stat. Soc. B 57 (1995) 289.
    """
    ordered = p.sort().values
    allowed = rate * torch.arange(1, len(p) + 1, dtype=p.dtype) / len(p)
    passed = ordered[ordered <= allowed]
    largest = passed.max() if len(passed) else p.new_tensor(-1.0)
    return p <= largest
