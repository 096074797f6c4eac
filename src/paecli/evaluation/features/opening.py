"""Opens the feature networks by name."""

import json
import pickle
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional as F

from paecli.evaluation.features.classifier import ClassifierFeatures, GreyClassifier
from paecli.evaluation.features.inception import InceptionFeatures
from paecli.evaluation.features.network import FeatureNetwork
from paecli.model.patches.lite0 import HEAD_CHANNELS, Lite0
from paecli.model.requirements import CLASSIFIER_SHAPE, require_features
from paecli.store.feature_weights import (
    HOW_TO_INSTALL,
    PHOTO_SHA256,
    has_photo_weights,
    open_photo_network,
)
from paecli.store.registry import fetch_file
from paecli.system.errors import CheckpointError, RegistryError
from paecli.system.files import hash_file
from paecli.system.progress import NullProgress, Progress

FeatureName = Literal["auto", "inception", "classifier", "photo"]
INCEPTION_ENTRY = "inception-fid"  # names in the registry
CLASSIFIER_ENTRY = "grey-classifier"
PHOTO_SIDE = 112  # pixels that images are brought to; half the network's own, a quarter of its time
CLASSIFIER_REVISION = 2  # raised with its layers; distances compare within one revision only


def open_feature_network(
    name: FeatureName,
    *,
    image_shape: tuple[int, int, int],
    inception_weights: Path | None = None,
    progress: Progress = NullProgress(),
) -> FeatureNetwork:
    """Opens a feature network.

    Args:
        name: `inception` (downloaded once, about 95 MB), `classifier` (bundled, grey
            28 x 28 images only), `photo` (the extra `photo`), or `auto`: the first of
            inception, photo and classifier that can be had.
        image_shape: `(channels, height, width)` of the images it is to see.
        inception_weights: pytorch-fid's weight file, instead of the registry's.
        progress: told of a download, and what was chosen instead of inception.

    Raises:
        UsageError: the classifier cannot take such images.
        RegistryError: the weights cannot be had.
        CheckpointError: the weight file is not one.
    """
    if name == "auto":
        return _open_best(image_shape, inception_weights, progress)
    if name == "photo":
        return PooledPhotoFeatures(open_photo_network(), identity=PHOTO_SHA256)
    require_features(name, image_shape)
    if name == "inception":
        return _open_inception(
            inception_weights or fetch_file(INCEPTION_ENTRY, kind="features", progress=progress)
        )
    return _open_classifier(
        fetch_file(
            CLASSIFIER_ENTRY, kind="features", revision=CLASSIFIER_REVISION, progress=progress
        )
    )


def _open_best(
    image_shape: tuple[int, int, int], inception_weights: Path | None, progress: Progress
) -> FeatureNetwork:
    try:
        return open_feature_network(
            "inception",
            image_shape=image_shape,
            inception_weights=inception_weights,
            progress=progress,
        )
    except RegistryError as error:
        if has_photo_weights():
            other: FeatureName = "photo"
        elif image_shape == CLASSIFIER_SHAPE:
            other = "classifier"
        else:
            raise RegistryError(
                f"{error}; without a network the extra `photo` would do: {HOW_TO_INSTALL}"
            ) from error
        progress.say(f"inception's weights cannot be had ({error}); --features {other} instead")
    return open_feature_network(other, image_shape=image_shape, progress=progress)


def _open_inception(file: Path) -> FeatureNetwork:
    try:
        identity = hash_file(file)
        # weights_only: a weight file is a pickle, and a hostile one would run code
        weights: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        return InceptionFeatures(weights, identity=identity, device=_device())
    except OSError as error:
        raise CheckpointError(f"cannot read {file}: {error.strerror}; check the path") from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{file} does not hold pytorch-fid's InceptionV3 weights; "
            "get pt_inception-2015-12-05-6726825d.pth"
        ) from error


def _open_classifier(file: Path) -> FeatureNetwork:
    try:
        with safe_open(file, framework="pt") as opened:
            accuracy = json.loads(opened.metadata()["test_accuracy"])
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        network = GreyClassifier(classes=len(weights["head.bias"]))
        network.load_state_dict(weights)
    except (OSError, SafetensorError, KeyError, TypeError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"{file} is not pae's feature classifier; install paecli again"
        ) from error
    stated = ", ".join(f"{name} {value:.1%}" for name, value in accuracy.items())
    identity = hash_file(file)
    description = (
        f"no FID: pae's grey 28 x 28 classifier (test accuracy {stated}), weights {identity[:8]}"
    )
    return ClassifierFeatures(network, identity=identity, description=description)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


class PooledPhotoFeatures:
    """Averages over the last layer of EfficientNet-Lite0, trained on ImageNet.

    Images are resized to 112 x 112 bilinearly with antialiasing; grey ones are repeated in three
    channels.
    """

    name = "photo"
    size = HEAD_CHANNELS
    batch = 64

    def __init__(self, network: Lite0, *, identity: str) -> None:
        """Takes the network with its published weights, whose SHA-256 is `identity`."""
        self.identity = identity
        self.description = (
            f"no FID: EfficientNet-Lite0 (ImageNet) pooled, images of {PHOTO_SIDE} x {PHOTO_SIDE} "
            f"pixels, weights {identity[:8]}"
        )
        self._network = network

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Maps `(b, 1 or 3, h, w)` uint8 to `(b, 1280)` float32."""
        x = images.float().expand(-1, 3, -1, -1)
        if x.shape[-2:] != (PHOTO_SIDE, PHOTO_SIDE):
            x = F.interpolate(x, size=(PHOTO_SIDE, PHOTO_SIDE), mode="bilinear", antialias=True)
        return self._network(x)  # type: ignore[no-any-return]
