"""Largest numbers that are taken, in a module that commands can import at no cost."""

# Largest networks that are trained, and built again from a file's header; memory holds less.
LARGEST = 65_536  # features, latents and other options
LARGEST_BLOCKS = 256
LARGEST_SEED = 2**32 - 1  # what every library takes
LARGEST_INTEGER = 10**15  # of counts: tensors have 64 bits, and floats are exact up to here
