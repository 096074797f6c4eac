from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from paecli.report.grid import GAP, MISSING, as_pixels, image_grid
from paecli.report.pictures import (
    Row,
    comparison,
    path_picture,
    reconstructions,
    unusual_images,
)


def pixels_of(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"))


def test_grid_shows_every_image_pixel_for_pixel() -> None:
    images = torch.randint(0, 256, (5, 3, 64, 48), dtype=torch.uint8)
    grid = pixels_of(image_grid(images, columns=3))
    assert grid.shape == (2 * 64 + GAP, 3 * 48 + 2 * GAP, 3)
    fourth = grid[64 + GAP :, :48]
    assert (fourth == images[3].permute(1, 2, 0).numpy()).all()
    assert (grid[64 + GAP :, 2 * (48 + GAP) :] == 255).all()  # the sixth place is empty


def test_small_images_are_enlarged_by_whole_factors() -> None:
    grid = pixels_of(image_grid(torch.rand(1, 1, 28, 28)))
    assert grid.shape == (56, 56, 3)
    assert (grid[::2, ::2] == grid[1::2, 1::2]).all()


def test_grid_is_square_by_default() -> None:
    assert pixels_of(image_grid(torch.rand(9, 1, 64, 64))).shape[:2] == (196, 196)


def test_bytes_and_floats_look_the_same() -> None:
    images = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    assert (as_pixels(images) == as_pixels(images.float() / 255)).all()


def test_missing_pixels_have_a_colour_of_their_own() -> None:
    images = torch.rand(1, 1, 4, 4)
    images[0, 0, 1, 2] = float("nan")
    pixels = as_pixels(images)
    assert tuple(pixels[0, 1, 2]) == MISSING
    assert (pixels == MISSING).all(-1).sum() == 1


def test_pictures_say_what_they_show(texts: Callable[[], list[str]]) -> None:
    originals, restored = torch.rand(2, 3, 1, 28, 28)
    unusual_images(originals, restored, ["p = 0.1", "p = 0.2", "p = 0.3"], "Most unusual first")
    assert {"p = 0.1", "p = 0.2", "p = 0.3", "Most unusual first"} <= set(texts())
    reconstructions(originals, restored, "a model")
    assert "a model" in texts()
    path_picture(originals[:2], restored)
    assert [each for each in texts() if each in {"A", "B", "0 %", "50 %", "100 %"}] == [
        "A", "0 %", "50 %", "100 %", "B"
    ]  # fmt: skip
    comparison([Row("input", originals), Row("spread", restored, "positive")], title="both")
    assert {"input", "spread", "both"} <= set(texts())


def test_comparisons_are_the_same_file_each_time() -> None:
    originals, restored = torch.rand(2, 3, 1, 28, 28)
    assert reconstructions(originals, restored) == reconstructions(originals, restored)
    assert reconstructions(originals, restored) != reconstructions(restored, originals)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 4])
def test_comparison_grows_with_the_images(count: int, channels: int) -> None:
    x = torch.rand(count, channels, 20, 30)
    rows = [Row("image", x), Row("map", x - 0.5, "signed"), Row("std", x, "positive")]
    small, large = pixels_of(comparison(rows[:1])), pixels_of(comparison(rows, title="All"))
    assert small.shape[1] >= 120 * count
    assert large.shape[0] > 2 * small.shape[0]


def test_captions_and_flat_maps_are_drawn() -> None:
    x = torch.full((2, 1, 28, 28), 0.5)
    captions = ["p = .01", "p = .5"]
    assert pixels_of(unusual_images(x, x, captions, "Most unusual")).std() > 0


def test_path_shows_both_ends_and_every_frame() -> None:
    frames = torch.rand(3, 1, 28, 28)
    narrow = pixels_of(path_picture(frames[:2], frames)).shape[1]
    assert pixels_of(path_picture(frames[:2], torch.rand(5, 1, 28, 28))).shape[1] > narrow
