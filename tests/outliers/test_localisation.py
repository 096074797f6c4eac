import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from paecli.outliers.localisation import localise
from paecli.system.errors import DataError


def squares() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two images, one with a large and a small defect."""
    mask = np.zeros((40, 50), bool)
    mask[5:15, 5:15] = True
    mask[30:32, 40:42] = True
    random = np.random.default_rng(0)
    maps = [random.normal(size=(40, 50)).astype(np.float32) for _ in range(2)]
    return maps, [mask, np.zeros((40, 50), bool)]


def test_perfect_maps_get_one_in_everything() -> None:
    _, masks = squares()
    result = localise([mask.astype(np.float32) for mask in masks], masks)
    assert (result.pixel_auroc, result.best_iou) == (1, 1)
    assert result.aupro == pytest.approx(1, abs=0.01)
    assert (result.images, result.defective, result.defects) == (2, 1, 2)


def test_random_maps_get_what_chance_gives() -> None:
    random = np.random.default_rng(0)
    mask = np.kron(np.eye(12, dtype=bool), np.eye(2, dtype=bool)[:1].repeat(2, 0)).repeat(8, 0)
    maps = [random.normal(size=mask.shape).astype(np.float32) for _ in range(3)]
    result = localise(maps, [mask] * 3)
    assert result.pixel_auroc == pytest.approx(0.5, abs=0.05)
    # the share that is found is the rate of false positives, whose mean up to .3 is .15
    assert result.aupro == pytest.approx(0.15, abs=0.02)


def test_figures_are_those_of_plain_loops() -> None:
    maps, masks = squares()
    maps[0] += 1.5 * masks[0]
    result = localise(maps, masks)
    scores, truth = np.concatenate(maps).ravel(), np.concatenate(masks).ravel()
    assert result.pixel_auroc == pytest.approx(roc_auc_score(truth, scores))
    ious = [((scores >= t) & truth).sum() / ((scores >= t) | truth).sum() for t in scores]
    assert result.best_iou == pytest.approx(max(ious), abs=0.01)
    found = scores >= result.best_threshold
    assert (found & truth).sum() / (found | truth).sum() == pytest.approx(result.best_iou)
    defects = [maps[0][5:15, 5:15], maps[0][30:32, 40:42]]
    overlaps = []
    for rate in np.linspace(0, 0.3, 61):
        threshold = np.quantile(scores[~truth], 1 - rate)
        overlaps.append(np.mean([(defect > threshold).mean() for defect in defects]))
    assert result.aupro == pytest.approx(np.mean(overlaps), abs=0.02)


def test_small_defects_count_as_much_as_large_ones() -> None:
    _, masks = squares()
    only_large, only_small = masks[0].copy(), masks[0].copy()
    only_large[30:32] = False
    only_small[5:15] = False
    for found in (only_large, only_small):
        result = localise([found.astype(np.float32), masks[1] * np.float32(0)], masks)
        assert result.aupro == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("value", "kind"), [(False, "defective"), (True, "good")])
def test_masks_of_one_kind_cannot_be_compared_with(value: bool, kind: str) -> None:
    masks = [np.full((5, 5), value)]
    with pytest.raises(DataError, match=f"no {kind} pixel"):
        localise([np.zeros((5, 5), np.float32)], masks)
