"""Where an image is unusual: regions of a score map, with the false positives that were set."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from paecli.outliers.conformal import p_values
from paecli.outliers.flag_images import Region


def region_threshold(reference_peaks: Tensor, rate: float) -> float:
    """Returns the score above which at most `rate` of in-distribution images have a pixel.

    Conformal, so it holds on average over held-out images, whatever the scores are: a score
    above it has a p-value of at most `rate` against the peaks.

    Args:
        reference_peaks: `(n,)` ascending highest scores of held-out reference images.
        rate: in [0, 1].

    Returns:
        The score; infinity when so low a rate cannot be told from so few images.
    """
    count = len(reference_peaks)
    spare = int(rate * (count + 1) + 1e-9) - 1  # reference peaks that may lie above
    if spare < 0:
        return float("inf")
    return float(reference_peaks[count - 1 - spare]) if spare < count else -float("inf")


def find_regions(
    scores: Tensor, *, reference_peaks: Tensor, rate: float
) -> tuple[tuple[Region, ...], Tensor]:
    """Finds the regions of a score map that few in-distribution images have.

    Args:
        scores: `(h, w)` score of each pixel, higher = more unusual.
        reference_peaks: `(n,)` ascending highest scores of held-out reference images.
        rate: share of in-distribution images that may have any region.

    Returns:
        The regions, most unusual first, and `(h, w)` bool, which pixels they hold. Pixels that
        touch only at a corner belong together.
    """
    inside = scores > region_threshold(reference_peaks, rate)
    labels, count = ndimage.label(inside.numpy(), structure=np.ones((3, 3)))
    if not count:
        return (), inside
    numbers = np.arange(1, count + 1)
    peaks = ndimage.maximum(scores.numpy(), labels, numbers)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    chances = p_values(torch.as_tensor(peaks, dtype=reference_peaks.dtype), reference_peaks)
    order = np.argsort(-np.asarray(peaks), kind="stable")
    boxes = ndimage.find_objects(labels)
    return tuple(
        Region(_box(boxes[index]), int(areas[index]), float(chances[index])) for index in order
    ), inside


def _box(slices: tuple[slice, slice]) -> tuple[int, int, int, int]:
    rows, columns = slices
    return columns.start, rows.start, columns.stop, rows.stop
