"""Distances of sets of images: how they are asked for, told of, and bounded."""

from typing import Any

import pytest
import torch
from tests.listener import Listener
from torch import Tensor

from paecli.evaluation import sample_quality as module
from paecli.evaluation.fid import frechet_distance, gaussian_statistics
from paecli.evaluation.kid import kernel_distance
from paecli.system.errors import UsageError

SETS = ("reconstructions", "decoded_gaussian", "train", "noise")


class Mean:
    """A feature network: the means of rows."""

    name, description, identity, size, batch = "mean", "means of rows", "1", 4, 50

    def __call__(self, images: Tensor) -> Tensor:
        return images.float().mean((1, 3)) / 255


def images(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 1, 4, 4), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("width", [module.WIDE, module.WIDE + 1])
def test_wide_features_are_drawn_anew_less_often(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def error(*_: Tensor, resamples: int, after_each: Any, **__: object) -> float:
        asked.append(resamples)
        for _number in range(resamples):
            after_each()
        return 0.1

    monkeypatch.setattr(module, "frechet_standard_error", error)
    progress, real = Listener(), torch.randn(30, width)
    features = {name: torch.randn(30, width) for name in SETS}
    found = module._frechet(real, features, "as told", 0, progress)
    times = 20 if width > module.WIDE else 100
    assert asked == [times] * 4
    assert progress.work == {"bootstrap of the Frechet distance": [4 * times, 4 * times]}
    assert found.samples is None
    assert found.protocol == "squared Frechet distance, as told"
    expected = frechet_distance(gaussian_statistics(real), gaussian_statistics(features["train"]))
    assert found.train == expected
    assert found.intervals["train"] == pytest.approx((expected - 0.196, expected + 0.196))


def test_an_interval_ends_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "frechet_standard_error", lambda *_, **__: 1e3)
    real = torch.randn(30, 3)
    found = module._frechet(real, dict.fromkeys(SETS, real), "", 0, Listener())
    assert found.intervals["noise"] == (0.0, pytest.approx(1960))


@pytest.mark.parametrize(("frechet", "kernel"), [(True, False), (False, True)])
def test_what_is_asked_for_is_measured(frechet: bool, kernel: bool, tmp_path: Any) -> None:
    sets = {name: images(25, seed) for seed, name in enumerate(("samples", *SETS), start=1)}
    reference = images(40, 0)
    found = module.sample_quality(
        reference, sets, Mean(), dataset="mine", frechet=frechet, kernel=kernel, cache=tmp_path
    )
    assert (found.frechet is not None, found.kernel is not None) == (frechet, kernel)
    assert found.precision_recall.keys() == sets.keys() - {"train", "noise"}
    distances = found.frechet or found.kernel
    assert distances is not None
    assert distances.protocol.endswith(
        "25 images against 40 test images of mine, both rounded to 8 bit; means of rows"
    )
    a, b = (Mean()(each) for each in (reference, sets["samples"]))
    expected = kernel_distance(a, b).value
    if frechet:
        expected = frechet_distance(gaussian_statistics(a), gaussian_statistics(b))
    assert distances.samples == pytest.approx(expected, rel=1e-3)


def test_twenty_images_are_enough(tmp_path: Any) -> None:
    sets = {name: images(20, 1) for name in SETS}
    found = module.sample_quality(
        images(20, 0), sets, Mean(), dataset="mine", frechet=False, cache=tmp_path
    )
    assert found.frechet is found.kernel is None
    with pytest.raises(UsageError, match="too few to compare: 19 images; give --samples 20"):
        module.sample_quality(
            images(40, 0), sets | {"noise": images(19, 2)}, Mean(), dataset="mine", cache=tmp_path
        )
