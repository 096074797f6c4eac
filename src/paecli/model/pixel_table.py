"""The true pixel given the decoded image, as quantiles tabulated on held-out images.

A pixel's error depends on its decoded value (background is nearly certain) and on how much
the decoded image changes around it (edges and texture are not): the table has quantiles for
each knot of the one in each stratum of the other.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

KNOTS = (0, .002, .005, .01, .02, .035, .05, .075, .1, .15, .2, .25, .3, .35, .4, .45, .5,
         .55, .6, .65, .7, .75, .8, .85, .9, .925, .95, .97, .98, .99, 1)  # fmt: skip
LEVELS = 64  # quantiles of a knot's distribution, at (i + 1/2) / 64
STRATA = 4  # of the variation, with about as many pixels in each
FEWEST = 200  # pixels that a knot's quantiles need


def local_variation(images: Tensor) -> Tensor:
    """Returns the mean of `|d image / dx| + |d image / dy|` over 3 by 3 pixels.

    Args:
        images: `(n, c, h, w)`; each channel for itself.

    Returns:
        `(n, c, h, w)`; at the edge over the pixels that there are.
    """
    across = F.pad((images[..., 1:] - images[..., :-1]).abs(), (0, 1))
    down = F.pad((images[..., 1:, :] - images[..., :-1, :]).abs(), (0, 0, 0, 1))
    return F.avg_pool2d(across + down, 3, stride=1, padding=1, count_include_pad=False)


def tabulate_pixels(decoded: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Tabulates quantiles of the true pixel at each knot of the decoded one.

    Args:
        decoded: `(n, c, h, w)` decoded images in [0, 1].
        true: `(n, c, h, w)` true images in [0, 1].

    Returns:
        The edges between the strata of local variation `(STRATA - 1,)`, and the quantiles
        `(STRATA * len(KNOTS), LEVELS)`, one stratum after the other. A knot with too few pixels
        in a stratum holds the quantiles of all strata, or its own value.
    """
    variation = local_variation(decoded).flatten()
    sorted_variation = variation.sort().values
    cuts = torch.arange(1, STRATA, device=variation.device) * len(variation) // STRATA
    edges = sorted_variation[cuts]
    stratum = torch.bucketize(variation, edges)
    decoded, true = decoded.flatten(), true.flatten()
    itself = torch.tensor(KNOTS).to(decoded)[:, None].repeat(1, LEVELS)
    everywhere = _quantiles(decoded, true, otherwise=itself)
    tables = [
        _quantiles(decoded[stratum == each], true[stratum == each], otherwise=everywhere)
        for each in range(STRATA)
    ]
    return edges, torch.cat(tables)


def _quantiles(decoded: Tensor, true: Tensor, *, otherwise: Tensor) -> Tensor:
    """Returns the quantiles at each knot `(len(KNOTS), LEVELS)`, from pixels `(p,)`."""
    knots = torch.tensor(KNOTS).to(decoded)
    nearest = torch.bucketize(decoded, (knots[1:] + knots[:-1]) / 2)
    table = otherwise.clone()
    for index in range(len(knots)):
        values = true[nearest == index].sort().values
        if len(values) >= FEWEST:
            at = (torch.arange(LEVELS, device=values.device) + 0.5) / LEVELS * len(values)
            table[index] = values[at.long()]
    return table


def is_pixel_table(edges: Tensor, quantiles: Tensor) -> bool:
    """Tells whether two tensors have the sizes of a table, or hold none at all."""
    if not len(quantiles):
        return not len(edges)
    return tuple(quantiles.shape) == ((len(edges) + 1) * len(KNOTS), LEVELS)
