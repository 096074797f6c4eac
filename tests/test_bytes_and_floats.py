"""Bytes stand for [0, 1] everywhere: 255 is 1, and no grey level is lost on the way and back."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.patches_models import small_model
from torch import Tensor

from paecli.api import PAE
from paecli.data.dataset import ImageSplit
from paecli.data.datasets import _fit
from paecli.data.images.pixels import to_bytes
from paecli.data.model_data import fit_images
from paecli.evaluation.features.network import to_8_bit
from paecli.evaluation.memorisation import nearest_distance
from paecli.model.held_out_errors import HeldOutErrors, fit_held_out_errors
from paecli.model.patches.model import as_float
from paecli.outliers.pixel_statistics import pixel_statistics
from paecli.report.grid import as_pixels
from paecli.restoration.damage import check_damage

GREYS = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)
FLOATS = GREYS.double() / 255


def kept(images: Tensor) -> Tensor:
    errors = HeldOutErrors()
    fit_held_out_errors(errors, u=torch.zeros(len(images), 2), images=images, decoded=images)
    return errors.images


TO_FLOATS: dict[str, Callable[[], Tensor]] = {
    "patches": lambda: torch.stack([as_float(each) for each in GREYS]),
    "damage": lambda: check_damage(GREYS, None, noise=0.0, image_shape=(1, 8, 8)).data,
}
TO_BYTES: dict[str, Callable[[], Tensor]] = {
    "images": lambda: to_bytes(FLOATS.float()),
    "features": lambda: to_8_bit(FLOATS.float()),
    "held-out images": lambda: kept(FLOATS.float()),
    "pictures": lambda: torch.from_numpy(as_pixels(FLOATS.float()))[..., :1].movedim(3, 1),
    "pictures of bytes": lambda: torch.from_numpy(as_pixels(GREYS))[..., 1:2].movedim(3, 1),
    "sets in colour": lambda: _fit(ImageSplit(GREYS, None, ()), None, 3).images[:, 1:2],
    "sets of a model": lambda: fit_images(GREYS, (3, 8, 8))[:, 2:],
}


@pytest.mark.parametrize("name", TO_FLOATS)
def test_bytes_become_floats(name: str) -> None:
    torch.testing.assert_close(TO_FLOATS[name]().double(), FLOATS, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", TO_BYTES)
def test_floats_become_bytes(name: str) -> None:
    found = TO_BYTES[name]()
    assert found.dtype == torch.uint8
    assert found.equal(GREYS)


def test_a_model_takes_both(trained_pae: PAE) -> None:
    images = torch.randint(256, (3, 1, 28, 28), dtype=torch.uint8)
    torch.testing.assert_close(trained_pae.as_images(images), images.float() / 255)
    for score in ("log_prob", "reconstruction_error"):
        torch.testing.assert_close(
            trained_pae.score(images, score), trained_pae.score(images.float() / 255, score)
        )


def test_distances_and_statistics_take_both() -> None:
    near, far = nearest_distance(FLOATS.float() + 0.5 / 255, GREYS), FLOATS.float()
    torch.testing.assert_close(near, torch.full((4,), 0.5 / 255), rtol=1e-3, atol=0)
    one, other = pixel_statistics(GREYS), pixel_statistics(far)
    for name, values in one.items():
        torch.testing.assert_close(values, other[name])
    assert one["saturation"].tolist() == [0, 0, 0, 1 / 64]
    assert one["brightness"][-1].item() == pytest.approx((192 + 255) / 2 / 255)


def test_maps_of_patches_take_both() -> None:
    model = small_model()
    image = np.random.default_rng(0).integers(256, size=(1, 64, 64), dtype=np.uint8)
    images = torch.from_numpy(image)
    torch.testing.assert_close(model.feature_map(images), model.feature_map(images.float() / 255))
