"""Data sets and image files: names and paths in, 8-bit tensors and splits out."""

from paecli.data.dataset import ImageDataset, ImageSplit, hold_out
from paecli.data.datasets import load_dataset

__all__ = ["ImageDataset", "ImageSplit", "hold_out", "load_dataset"]
