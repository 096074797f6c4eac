"""Lamp, lens and crop are told by pixels alone."""

import pytest
import torch

from paecli.outliers.pixel_statistics import pixel_statistics


def test_what_is_measured() -> None:
    images = torch.zeros(3, 1, 6, 6)
    images[1] = 1.0
    images[2, :, ::2] = 0.5  # stripes
    told = pixel_statistics(images)
    assert told["brightness"].tolist() == [0.0, 1.0, 0.25]
    assert told["saturation"].tolist() == [0.0, 1.0, 0.0]
    assert told["roughness"][:2].tolist() == [0.0, 0.0]
    # of the middle rows 1 / 3 from the mean of their surroundings, at the rim 1 / 4
    assert told["roughness"][2] == pytest.approx((4 / 9 + 2 / 16) / 6 * 16, rel=0.01)


def test_files_and_floats_give_the_same() -> None:
    images = torch.randint(256, (450, 3, 5, 5), dtype=torch.uint8)
    as_floats = pixel_statistics(images.float() / 255)
    for name, values in pixel_statistics(images).items():
        torch.testing.assert_close(values, as_floats[name])
        assert values.shape == (450,)
    assert all(len(values) == 0 for values in pixel_statistics(images[:0]).values())
