"""What is white in a picture that somebody painted: masks of what is missing or defective."""

from torch import Tensor

from paecli.data.images.opening import ImageSource

HALF = 0.5
GREY = (0.1, 0.9)  # what is neither black nor white
MANY_GREYS = 0.3  # share of a mask's pixels


def level_of_white(path: ImageSource, bright: Tensor) -> tuple[float, list[str]]:
    """Finds from which brightness on a pixel counts as white.

    That is one half; but of a picture with two values only, the brighter one is white.

    Args:
        path: the picture, for messages.
        bright: `(n,)` brightness in [0, 1] of the pixels that are painted.

    Returns:
        The brightness, and sentences on what was made of the picture.
    """
    if not bright.numel():
        return HALF, []
    low, high = bright.min().item(), bright.max().item()
    two_values = bool(((bright == low) | (bright == high)).all())
    if two_values and low < high and not low < HALF <= high:
        note = (
            f"the mask {path} has two values only, {low * 255:.3g} and {high * 255:.3g} of 255: "
            "the brighter one is taken for white"
        )
        return (low + high) / 2, [note]
    share = share_of_greys(bright)
    if two_values or share < MANY_GREYS:
        return HALF, []
    return HALF, [f"{share:.0%} of the mask {path} is neither black nor white: is it a mask?"]


def share_of_greys(bright: Tensor) -> float:
    """Returns the share, in [0, 1], of pixels `(...)` that are neither black nor white."""
    return ((bright > GREY[0]) & (bright < GREY[1])).float().mean().item()
