"""What the numbers in a model file may be: one table for every buffer and scale.

Values that no training leaves behind would crash or mislead long after the file was read.
"""

import re
from collections.abc import Callable

import torch
from torch import Tensor

LARGEST_VALUE = 1e30  # beyond all that training reaches; float32 ends at 3e38
SMALLEST_VARIANCE = 1e-30  # of a unit that never varied; training may leave less
SMALLEST_SIGMA = 1e-6  # what squares without vanishing; training leaves a thousand times as much
SMALLEST_FACTOR = 1e-30  # on a diagonal; what is smaller has no reciprocal in float32
SHORTEST_DIRECTION, LONGEST_DIRECTION = 0.05, 1.01  # an average of unit vectors; rounded to float16
Rule = Callable[[Tensor], bool]


def is_within(least: float, most: float) -> Rule:
    """Returns the rule that every value is in `[least, most]`."""
    return lambda values: bool(((values >= least) & (values <= most)).all())


def is_permutation(values: Tensor) -> bool:
    """Tells whether `(n,)` integers are 0 to n - 1 in some order."""
    return torch.equal(values.sort().values, torch.arange(len(values)))


def is_lower_factor(values: Tensor) -> bool:
    """Tells whether matrices `(..., k, k)` are lower triangular with a positive diagonal."""
    diagonal = values.diagonal(dim1=-2, dim2=-1)
    return not values.triu(1).any() and bool((diagonal >= SMALLEST_FACTOR).all())


def is_upper_factor(values: Tensor) -> bool:
    """Tells whether matrices `(..., k, k)` are upper triangular with a positive diagonal."""
    return is_lower_factor(values.mT)


def is_direction(values: Tensor) -> bool:
    """Tells whether a vector `(k,)` has about length 1, or less: averages over steps do."""
    return bool(SHORTEST_DIRECTION < values.norm() < LONGEST_DIRECTION)


def are_log_weights(values: Tensor) -> bool:
    """Tells whether weights `(m,)`, as logarithms, add up to 1."""
    return bool(values.logsumexp(0).abs() < 0.01)


def is_ascending(values: Tensor) -> bool:
    """Tells whether each row of `(..., n)` ascends."""
    return bool((values.diff() >= 0).all())


def are_scores(values: Tensor) -> bool:
    """Tells whether there are scores `(n,)`, ascending."""
    return len(values) > 0 and is_ascending(values)


def are_quantiles(values: Tensor) -> bool:
    """Tells whether rows `(r, levels)` are quantiles of pixels in [0, 1]."""
    return is_within(0, 1)(values) and is_ascending(values)


def are_statistics(values: Tensor) -> bool:
    """Tells whether `(2, c)` are means and positive standard deviations; none are fine."""
    return len(values) == 0 or bool((values[1:] > 0).all())


# The first pattern that fits a tensor's whole name holds; all others need finite values only.
RANGES: tuple[tuple[str, Rule], ...] = (
    (r"sigma", is_within(SMALLEST_SIGMA, 1)),
    (r"usual", are_statistics),  # of a model of patches
    (
        r"(autoencoder\.(scale|variances)|discriminator\.scale)",
        is_within(SMALLEST_VARIANCE, LARGEST_VALUE),
    ),
    (r".*\.running_var", is_within(SMALLEST_VARIANCE, LARGEST_VALUE)),
    (r".*\.num_batches_tracked", is_within(0, LARGEST_VALUE)),
    (r".*\.parametrizations\..*\._[uv]", is_direction),  # of spectral norms
    (r".*\.permutation", is_permutation),
    (r"flow\.cholesky", is_lower_factor),
    (r"flow\.base\.log_weights", are_log_weights),
    (r"flow\.base\.factors", is_upper_factor),
    (r"flow\.base\.extent", is_within(SMALLEST_SIGMA, LARGEST_VALUE)),
    (r"calibration\.edges", is_ascending),
    (r"calibration\.quantiles", are_quantiles),
    (r"normal_reference\.statistics", are_statistics),
    (r"voices\.tables", is_ascending),
    (r"normal_scores\..*", are_scores),
)


def is_possible(name: str, values: Tensor) -> bool:
    """Tells whether a model can have these values.

    Args:
        name: of the tensor in the model file.
        values: in the type that a loaded model computes with.
    """
    if values.is_floating_point() and not is_within(-LARGEST_VALUE, LARGEST_VALUE)(values):
        return False  # NaN too
    rule = next((rule for pattern, rule in RANGES if re.fullmatch(pattern, name)), None)
    return rule is None or rule(values)
