from collections.abc import Callable

import numpy as np
import pytest

from paecli.training.patches.painting import SHAPES, Image, Plane, paint_defects


def plain(channels: int = 1, size: tuple[int, int] = (90, 120), seed: int = 0) -> Image:
    rng = np.random.default_rng(seed)
    texture = rng.normal(0.5, 0.02, (1, *size)).clip(0, 1)
    return texture.repeat(channels, axis=0).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_marked_has_changed_and_nothing_else(channels: int) -> None:
    good = plain(channels)
    for seed in range(20):
        found = paint_defects(good, plain(seed=1), np.random.default_rng(seed))
        assert found.image.shape == good.shape
        assert found.image.dtype == np.float32
        assert found.image.min() >= 0
        assert found.image.max() <= 1
        change = np.abs(found.image - good).max(0)
        assert found.defects.any()
        assert change[found.defects].min() > 0.03
        assert change[~found.touched].max() < 0.01
        assert not (found.defects & ~found.touched).any()
        assert found.defects.mean() < 0.5


def test_a_seed_paints_the_same_and_another_one_something_else() -> None:
    painted = [
        paint_defects(plain(), plain(seed=1), np.random.default_rng(seed)).image
        for seed in (3, 3, 4)
    ]
    assert np.array_equal(painted[0], painted[1])
    assert not np.array_equal(painted[0], painted[2])


def test_defects_are_dark_and_bright_small_and_large() -> None:
    good = plain(size=(200, 200))
    areas, signs = [], []
    for seed in range(30):
        found = paint_defects(good, good, np.random.default_rng(seed))
        areas.append(found.defects.sum())
        signs.append((found.image - good)[0][found.defects].mean() > 0)
    assert min(areas) < 100
    assert max(areas) > 1000
    assert 0.15 < np.mean(signs) < 0.85


@pytest.mark.parametrize("shape", [shape for _, shape in SHAPES])
def test_every_shape_stays_inside_any_image(
    shape: Callable[[tuple[int, int], np.random.Generator], Plane],
) -> None:
    for size in ((2, 3), (16, 400), (64, 64)):
        masks = [shape(size, np.random.default_rng(seed)) for seed in range(10)]
        assert all(mask.shape == size and 0 <= mask.min() <= mask.max() <= 1 for mask in masks)
    assert any(mask.max() == 1 for mask in masks)


def test_black_and_tiny_images_are_painted_or_left_alone() -> None:
    for good in (np.zeros((1, 40, 40), np.float32), plain(size=(1, 1)), plain(3, size=(2, 30))):
        found = paint_defects(good, plain(), np.random.default_rng(0))
        assert found.image.shape == good.shape
        assert np.isfinite(found.image).all()
