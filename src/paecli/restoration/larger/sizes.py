"""Whether an image of another size may be shrunk to the model's: a photograph may not."""

from pathlib import Path

from paecli.data.images.files import ImageFile, read_image
from paecli.data.images.opening import has_colour, open_image
from paecli.system.errors import ImageError

LARGEST = 4  # times the model's sides; beyond, an image hardly is one of the model's enlarged
STRETCH = 1.1  # by which the ratio of the sides may differ
COLOURFUL = 0.1  # difference between the channels of a pixel that is seen as colour
COLOURED_SHARE = 0.05  # of such pixels, from which an image is in colour; grey ones may be RGB
LOOKED_AT = (64, 64)  # size at which colour is judged


def require_like_size(image: ImageFile, image_shape: tuple[int, int, int]) -> None:
    """Refuses to shrink what cannot be one of the model's images, enlarged.

    Args:
        image: as read for the model.
        image_shape: `(c, h, w)` that the model sees.

    Raises:
        ImageError: it is far larger, of another shape, or in colour where the model is grey.
    """
    if not image.resized:
        return
    channels, height, width = image_shape
    rows, columns = image.original_size
    stretch = (columns / rows) / (width / height)
    reasons = []
    if max(rows / height, columns / width) > LARGEST:
        reasons.append(f"more than {LARGEST} times as large")
    if not 1 / STRETCH <= stretch <= STRETCH:
        reasons.append("of another shape")
    if channels == 1 and _in_colour(image.path):
        reasons.append("in colour")
    if reasons:
        raise ImageError(
            f"{image.path} is {columns} x {rows} pixels, {' and '.join(reasons)}; the model's "
            f"images are {width} x {height}{' grey' if channels == 1 else ''}: cropped and shrunk "
            "it would come back as one of them. If it shows one, crop it to that, or give --resize"
        )


def _in_colour(path: Path) -> bool:
    with open_image(path) as opened:
        if not has_colour(opened):
            return False
    pixels = read_image(path, image_shape=(3, *LOOKED_AT)).pixels
    differs = pixels.amax(0) - pixels.amin(0) > COLOURFUL
    return differs.float().mean().item() > COLOURED_SHARE
