"""Features of image sets, kept on disk: long runs resume, references are computed once."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from paecli.data.dataset import hash_images
from paecli.evaluation.features.network import FeatureNetwork
from paecli.store.checkpoint import save_tensors
from paecli.system.folders import cache_folder
from paecli.system.progress import NullProgress, Progress

CHUNK = 500  # images in a file: what an interruption can cost


def features_folder() -> Path:
    """Returns where features are kept; deleting it costs only time."""
    return cache_folder() / "features"


def cached_features(
    images: Tensor,
    network: FeatureNetwork,
    *,
    label: str,
    folder: Path | None = None,
    progress: Progress = NullProgress(),
) -> Tensor:
    """Computes the features of images, or reads what an earlier run has computed.

    Args:
        images: `(n, c, h, w)` uint8.
        network: what computes them.
        label: what the images are, for the progress bar.
        folder: where features are kept; the user's cache by default.
        progress: told of every chunk.

    Returns:
        `(n, network.size)` float32.

    Raises:
        WriteError: the folder cannot be written.
    """
    place = (folder or features_folder()) / _key(images, network)
    parts = []
    with progress.task(f"{network.name} features of {label}", len(images)) as task:
        for index, chunk in enumerate(images.split(CHUNK)):
            parts.append(_chunk_features(place / f"{index:05}.safetensors", chunk, network))
            task.advance(len(chunk))
    return torch.cat(parts)


def _key(images: Tensor, network: FeatureNetwork) -> str:
    protocol = f"{network.name} {network.identity} {hash_images(images)}"
    return hashlib.sha256(protocol.encode()).hexdigest()[:32]


def _chunk_features(file: Path, images: Tensor, network: FeatureNetwork) -> Tensor:
    try:
        return load_file(file)["features"]
    except (OSError, KeyError, SafetensorError):
        pass  # not computed yet, or damaged: compute it
    features = torch.cat([network(batch) for batch in images.split(network.batch)])
    save_tensors(file, {"features": features}, {})
    return features
