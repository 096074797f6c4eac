"""New conditions: the rate comes back without training, or it is said why not."""

import copy

import pytest
import torch
from torch import Tensor

from paecli.api import PAE
from paecli.outliers.pixel_statistics import pixel_statistics
from paecli.outliers.recalibrate import recalibrate
from paecli.system.errors import DataError


def darker(images: Tensor) -> Tensor:
    return 0.97 * images


def test_further_images_are_flagged_at_the_rate_again(trained_pae: PAE, blobs: Tensor) -> None:
    model = copy.deepcopy(trained_pae)
    images = darker(blobs)
    result = recalibrate(model, images[::2], score="log_prob")
    flagged = (model.p_value(images[1::2], "log_prob") <= 0.05).double().mean().item()
    assert result.images == 300
    assert flagged == pytest.approx(0.05, abs=4 * 2**0.5 * result.scatter)
    assert len(model.reference_scores["log_prob"]) == 300
    assert model.reference_scores["log_prob"].equal(model.reference_scores["log_prob"].sort()[0])
    assert result.scatter == pytest.approx(0.0125, abs=0.0005)
    assert result.interval == pytest.approx((0.028, 0.077), abs=0.003)
    assert result.interval[0] < flagged < result.interval[1]
    # what the images look like now is usual, too
    usual = pixel_statistics(images[::2])
    for name, values in usual.items():
        assert model.reference_scores[name].equal(values.sort().values)


def test_it_says_when_it_cannot(trained_pae: PAE, blobs: Tensor) -> None:
    model = copy.deepcopy(trained_pae)
    with pytest.raises(DataError, match="too few to recalibrate with: 99 images"):
        recalibrate(model, blobs[:99], score="log_prob")
    with pytest.raises(DataError, match="it does not know such images"):
        recalibrate(model, torch.rand(120, 1, 28, 28), score="log_prob")
    before = trained_pae.reference_scores["log_prob"]
    assert model.reference_scores["log_prob"].equal(before)
