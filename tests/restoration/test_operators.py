"""Blur and down-sampling against what Pillow and scipy do to an image."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from paecli.restoration.operators import build_operator
from paecli.system.errors import UsageError

IMAGE = torch.rand(2, 3, 12, 8, generator=torch.Generator().manual_seed(0)).double()


def test_blur_is_that_of_scipy_with_repeated_edges() -> None:
    operator = build_operator((3, 12, 8), blur=1.5)
    assert operator is not None
    expected = gaussian_filter(IMAGE.numpy(), 1.5, mode="nearest", axes=(2, 3), truncate=4)
    np.testing.assert_allclose(operator(IMAGE).numpy(), expected, atol=1e-12)


def test_down_sampling_is_the_box_filter_of_pillow() -> None:
    operator = build_operator((3, 12, 8), downsample=4)
    assert operator is not None
    for plane, seen in zip(IMAGE[0], operator(IMAGE[0]), strict=True):
        shrunk = Image.fromarray(plane.float().numpy()).resize((2, 3), Image.Resampling.BOX)
        np.testing.assert_allclose(seen.numpy(), np.asarray(shrunk), atol=1e-6)


def test_blur_comes_before_down_sampling() -> None:
    blur, small, both = (
        build_operator((3, 12, 8), **options)
        for options in ({"blur": 2.0}, {"downsample": 2}, {"blur": 2.0, "downsample": 2})
    )
    assert None not in (blur, small, both)
    torch.testing.assert_close(both(IMAGE), small(blur(IMAGE)))
    flat = both.flat(IMAGE.flatten(1))
    torch.testing.assert_close(flat, both(IMAGE).flatten(1))


def test_variance_is_that_of_independent_pixels() -> None:
    operator = build_operator((1, 12, 8), blur=1.0, downsample=2)
    assert operator is not None
    noise = torch.randn(4000, 1, 12, 8, generator=torch.Generator().manual_seed(1))
    deviation = torch.linspace(0.1, 1, 8).expand(1, 12, 8)
    measured = operator(noise * deviation).var(0)
    torch.testing.assert_close(measured, operator.variance(deviation**2), rtol=0.15, atol=0)


def test_neither_is_no_operator() -> None:
    assert build_operator((1, 12, 8)) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"blur": -1.0}, "standard deviation"),
        ({"blur": float("nan")}, "standard deviation"),
        ({"blur": 100.0}, "0 to 12"),
        ({"downsample": 3}, "takes 1, 2, 4"),
        ({"downsample": 0}, "cannot be down-sampled"),
    ],
)
def test_impossible_ones_are_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build_operator((1, 12, 8), **options)  # type: ignore[arg-type]
