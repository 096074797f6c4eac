"""Data sets and image files: names and paths in, 8-bit tensors and splits out."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paecli.data.dataset import ImageDataset, ImageSplit
    from paecli.data.datasets import load_dataset
    from paecli.data.images.files import ImageFile, read_image, read_images, write_image
    from paecli.data.images.listing import find_images
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

_HOMES = {
    "ImageDataset": "dataset",
    "ImageFile": "images.files",
    "ImageSplit": "dataset",
    "SplitRule": "splitting",
    "content_keys": "splitting",
    "download_dataset": "sets.downloads",
    "find_images": "images.listing",
    "hold_out": "splitting",
    "load_dataset": "datasets",
    "read_image": "images.files",
    "read_images": "images.files",
    "write_image": "images.files",
}


def __getattr__(name: str) -> Any:
    """Imports torch only for what needs it: names and paths are checked without."""
    if name not in _HOMES:
        raise AttributeError(f"module 'paecli.data' has no attribute {name!r}")
    return getattr(import_module(f"paecli.data.{_HOMES[name]}"), name)
