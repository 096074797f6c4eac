"""Features of image sets, kept on disk: long runs resume, references are computed once."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from paecli.data.dataset import hash_images
from paecli.data.sharing import is_own, share_parts
from paecli.evaluation.features.network import FeatureNetwork
from paecli.store.checkpoint import save_tensors
from paecli.system.errors import WriteError
from paecli.system.folders import CACHE_VARIABLE, cache_folder
from paecli.system.progress import NullProgress, Progress
from paecli.system.threads import fitting

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

    A folder that cannot be written is said, and costs only what an interruption would lose.
    Processes that torchrun started share the chunks; each must call this.
    """
    place = (folder or features_folder()) / _key(images, network)
    parts: dict[int, Tensor] = {}
    problem = ""
    with progress.task(f"{network.name} features of {label}", len(images)) as task:
        for index, chunk in enumerate(images.split(CHUNK)):
            if not is_own(index):
                continue
            file = place / f"{index:05}.safetensors"
            features = _read_features(file)
            if features is None:
                features = _compute(chunk, network)
                problem = problem or _keep(file, features)
            parts[index] = features
            task.advance(len(chunk))
    if problem:
        # of all sets the same words, which are said once
        root = place.parent
        progress.say(
            f"Features are not kept: cannot write {root} ({problem}); set {CACHE_VARIABLE} to a "
            "folder of yours to keep them."
        )
    return torch.cat(share_parts(parts))


def _key(images: Tensor, network: FeatureNetwork) -> str:
    protocol = f"{network.name} {network.identity} {hash_images(images)}"
    return hashlib.sha256(protocol.encode()).hexdigest()[:32]


def _read_features(file: Path) -> Tensor | None:
    try:
        return load_file(file)["features"]
    except (OSError, KeyError, SafetensorError):
        return None  # not computed yet, or damaged


def _compute(images: Tensor, network: FeatureNetwork) -> Tensor:
    parts = []
    for batch in images.split(network.batch):
        with fitting(f"features {network.name}", len(batch)):
            parts.append(network(batch))
    return torch.cat(parts)


def _keep(file: Path, features: Tensor) -> str:
    """Writes features for the next run; returns why that cannot be done, or nothing."""
    try:
        save_tensors(file, {"features": features}, {})
    except WriteError as error:
        return getattr(error.__cause__, "strerror", None) or str(error)
    return ""
