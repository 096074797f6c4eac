"""How well score maps find defects whose true masks are known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, ndimage
from sklearn.metrics import roc_auc_score

from paecli.system.errors import DataError

Map = NDArray[np.float32]
Defects = NDArray[np.bool_]  # True where defective

LARGEST_RATE = 0.3  # of false positives, up to which the overlap is integrated
STEPS = 300  # of that integral
THRESHOLDS = 500  # that are tried for the best intersection over union


@dataclass(frozen=True)
class Localisation:
    """Score maps against true masks, over the pixels of all images together.

    Attributes:
        images: how many images.
        defective: how many of them have a mask with anything in it.
        defects: connected regions of the masks.
        pixel_auroc: chance that a defective pixel scores higher than a good one.
        aupro: mean share of a defect that is found, averaged over false-positive rates up to
            .3 of the good pixels; 1 is perfect (Bergmann et al., CVPR 2020).
        best_iou: largest intersection over union of the defective pixels and those above one
            threshold.
        best_threshold: the score of that threshold.
    """

    images: int
    defective: int
    defects: int
    pixel_auroc: float
    aupro: float
    best_iou: float
    best_threshold: float


def localise(maps: Sequence[Map], defects: Sequence[Defects]) -> Localisation:
    """Compares score maps with true defects; takes some 20 bytes of memory a pixel.

    Args:
        maps: `(h, w)` each, higher = more unusual.
        defects: of the same sizes, True where defective; all False for a good image.

    Raises:
        DataError: no pixel is defective, or none is good.
    """
    scores = np.concatenate([each.ravel() for each in maps])
    truth = np.concatenate([each.ravel() for each in defects])
    if not truth.any() or truth.all():
        kind = "defective" if not truth.any() else "good"
        raise DataError(f"the masks leave no {kind} pixel to compare with; white means defective")
    regions = [found for pair in zip(maps, defects, strict=True) for found in _regions(*pair)]
    iou, threshold = _best_iou(np.sort(scores), np.sort(scores[truth]))
    return Localisation(
        images=len(maps),
        defective=sum(bool(each.any()) for each in defects),
        defects=len(regions),
        pixel_auroc=float(roc_auc_score(truth, scores)),
        aupro=_aupro(regions, scores[~truth]),
        best_iou=iou,
        best_threshold=threshold,
    )


def _regions(scores: Map, defects: Defects) -> list[Map]:
    """Returns for each connected region of defects its scores, ascending."""
    labels, count = ndimage.label(defects, structure=np.ones((3, 3)))
    return [np.sort(scores[labels == number]) for number in range(1, count + 1)]


def _aupro(regions: Sequence[Map], good: Map) -> float:
    """Integrates the mean share of a defect that is found over rates of false positives."""
    rates = np.linspace(0, LARGEST_RATE, STEPS + 1)
    thresholds = np.quantile(good, 1 - rates)
    found = [1 - np.searchsorted(each, thresholds, side="right") / len(each) for each in regions]
    return float(integrate.trapezoid(np.mean(found, axis=0), rates) / LARGEST_RATE)


def _best_iou(scores: Map, defective: Map) -> tuple[float, float]:
    """Returns the best intersection over union and its threshold, of ascending scores."""
    # where few pixels are defective the best threshold lies far up: steps even in the logarithm
    shares = np.geomspace(1 / len(scores), 1, THRESHOLDS)
    thresholds = scores[((1 - shares) * (len(scores) - 1)).astype(int)]
    above = len(scores) - np.searchsorted(scores, thresholds, side="left")
    hits = len(defective) - np.searchsorted(defective, thresholds, side="left")
    overlap = hits / (above + len(defective) - hits)
    best = int(overlap.argmax())
    return float(overlap[best]), float(thresholds[best])
