"""At which size, shape and colour an image is no longer taken for one of the model's."""

from pathlib import Path

import pytest
from PIL import Image

from paecli.data.images.files import read_image
from paecli.restoration.larger.sizes import require_like_size
from paecli.system.errors import ImageError

SHAPE = (1, 20, 20)


def saved(path: Path, size: tuple[int, int], coloured: float = 0.0) -> Path:
    """Writes a grey RGB image of which a part of the rows is red."""
    image = Image.new("RGB", size, (90, 90, 90))
    image.paste((200, 30, 30), (0, 0, size[0], round(coloured * size[1])))
    image.save(path)
    return path


@pytest.mark.parametrize(
    ("size", "coloured", "reason"),
    [
        ((20, 20), 0.9, None),  # of the model's size: nothing is shrunk
        ((80, 80), 0.0, None),
        ((81, 81), 0.0, "more than 4 times as large"),
        ((44, 40), 0.0, None),
        ((45, 40), 0.0, "of another shape"),
        ((40, 44), 0.0, None),
        ((40, 45), 0.0, "of another shape"),
        ((40, 40), 0.025, None),
        ((40, 40), 0.2, "in colour"),
        ((100, 40), 0.5, "more than 4 times as large and of another shape and in colour"),
    ],
)
def test_what_may_be_shrunk(
    size: tuple[int, int], coloured: float, reason: str | None, tmp_path: Path
) -> None:
    image = read_image(saved(tmp_path / "a.png", size, coloured), image_shape=SHAPE)
    if reason is None:
        require_like_size(image, SHAPE)
        return
    with pytest.raises(ImageError) as refused:
        require_like_size(image, SHAPE)
    assert f"a.png is {size[0]} x {size[1]} pixels, {reason}; the model's" in str(refused.value)
    assert "images are 20 x 20 grey: " in str(refused.value)


def test_colour_is_no_reason_for_a_model_of_colour(tmp_path: Path) -> None:
    shape = (3, 20, 20)
    image = read_image(saved(tmp_path / "a.png", (40, 40), 0.5), image_shape=shape)
    require_like_size(image, shape)
