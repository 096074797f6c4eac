"""Data sets and image files: names and paths in, 8-bit tensors and splits out."""

from paecli.data.dataset import ImageDataset, ImageSplit
from paecli.data.datasets import load_dataset
from paecli.data.images.files import ImageFile, find_images, read_image, read_images, write_image
from paecli.data.sets.downloads import download_dataset
from paecli.data.splitting import SplitRule, content_keys, hold_out

__all__ = [
    "ImageDataset",
    "ImageFile",
    "ImageSplit",
    "SplitRule",
    "content_keys",
    "download_dataset",
    "find_images",
    "hold_out",
    "load_dataset",
    "read_image",
    "read_images",
    "write_image",
]
