"""Opens the feature networks by name."""

import json
import pickle
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from paecli.evaluation.features.classifier import ClassifierFeatures, GreyClassifier
from paecli.evaluation.features.inception import InceptionFeatures
from paecli.evaluation.features.network import FeatureNetwork
from paecli.model.requirements import require_features
from paecli.store.registry import fetch_file
from paecli.system.errors import CheckpointError
from paecli.system.files import hash_file
from paecli.system.progress import NullProgress, Progress

FeatureName = Literal["inception", "classifier"]
INCEPTION_ENTRY = "inception-fid"  # names in the registry
CLASSIFIER_ENTRY = "grey-classifier"
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
        name: `inception` (downloaded once, about 95 MB) or `classifier` (bundled, grey
            28 x 28 images only).
        image_shape: `(channels, height, width)` of the images it is to see.
        inception_weights: pytorch-fid's weight file, instead of the registry's.
        progress: told of a download.

    Raises:
        UsageError: the classifier cannot take such images.
        RegistryError: the weights cannot be had.
        CheckpointError: the weight file is not one.
    """
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
