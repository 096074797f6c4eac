"""Largest numbers that are taken, and which of many things are: imported at no cost."""

# Largest networks that are trained, and built again from a file's header; memory holds less.
LARGEST = 65_536  # features, latents and other options
LARGEST_BLOCKS = 256
LARGEST_SEED = 2**32 - 1  # what every library takes
LARGEST_INTEGER = 10**15  # of counts: tensors have 64 bits, and floats are exact up to here


def spread(total: int, wanted: int | None) -> list[int]:
    """Returns the numbers of `wanted` of `total` things, ascending and evenly spaced.

    Files lie class by class and in the order of their making: the first ones are of one kind.

    Args:
        total: how many there are.
        wanted: how many to take at most; None: all.
    """
    if wanted is None or wanted >= total:
        return list(range(total))
    return [number * total // wanted for number in range(wanted)]
