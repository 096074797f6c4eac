"""What stands on a side of `pae fid`: a folder of images, or statistics that were kept of one."""

import io
import math
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from paecli.data.images.listing import find_images
from paecli.data.images.opening import open_image
from paecli.data.images.pixels import decode, to_bytes
from paecli.evaluation.features.cache import cached_features
from paecli.evaluation.features.network import FeatureNetwork
from paecli.evaluation.fid import GaussianStatistics, statistics_of_moments
from paecli.system.errors import DataError, ImageError
from paecli.system.progress import NullProgress, Progress

STATISTICS = ".npz"  # ending of pytorch-fid's statistics
CHANNELS = 3
CHUNK_BYTES = 64 << 20  # of decoded images that are in memory together
CHUNK = 500  # images, at most
LARGEST_STATISTICS = 1 << 30  # bytes of one array
TOLERANCE = 1e-6  # of a covariance's symmetry, relative to its largest value


@dataclass(frozen=True, eq=False)
class ImageSetFeatures:
    """The features of a folder's images.

    Attributes:
        name: what the user called it.
        features: `(n, d)` float32.
        unreadable: files that were left out.
    """

    name: str
    features: Tensor
    unreadable: int


def is_statistics(path: Path) -> bool:
    """Tells whether a path is taken for statistics, and not for images."""
    return path.suffix.lower() == STATISTICS and not path.is_dir()


def read_features(
    folder: Path, network: FeatureNetwork, *, progress: Progress = NullProgress()
) -> ImageSetFeatures:
    """Computes the features of all images in a folder, in parts that are kept in the cache.

    Images may differ in size, and are seen by the network at their own.

    Raises:
        DataError: no image, or none that can be read.
    """
    files = find_images([folder], progress=progress)
    parts, failures = [], []
    with progress.task(f"{network.name} features of {folder.name}", len(files)) as task:
        for images, failed in _chunks(files):
            if len(images):
                parts.append(cached_features(images, network, label=folder.name))
            failures += failed
            task.advance(len(images) + len(failed))
    if not parts:
        raise DataError(f"none of {len(files)} images can be used; the first: {failures[0]}")
    if failures:
        progress.say(f"{len(failures)} of {len(files)} images left out; the first: {failures[0]}")
    return ImageSetFeatures(str(folder), torch.cat(parts), len(failures))


def _chunks(files: Sequence[Path]) -> Iterator[tuple[Tensor, list[str]]]:
    """Yields images of one size together, `(n, 3, h, w)` uint8, and what could not be read."""
    images: list[Tensor] = []
    failures: list[str] = []
    for file in files:
        try:
            with open_image(file) as image:
                pixels = to_bytes(decode(image, file, channels=CHANNELS))
        except ImageError as error:
            failures.append(str(error))
            continue
        full = len(images) == CHUNK or (len(images) + 1) * pixels.numel() > CHUNK_BYTES
        if images and (full or images[0].shape != pixels.shape):
            yield torch.stack(images), failures
            images, failures = [], []
        images.append(pixels)
    if images or failures:
        yield (torch.stack(images) if images else torch.empty(0)), failures


def read_statistics(file: Path, *, size: int) -> GaussianStatistics:
    """Reads `mu` and `sigma` as `python -m pytorch_fid --save-stats` writes them.

    Nothing in the file is executed, and no more is read than it may hold.

    Args:
        file: an `.npz` file.
        size: how many features the network has.

    Raises:
        DataError: not such a file, of another network, or impossible values.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            mean, covariance = (_read_array(archive, name) for name in ("mu", "sigma"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"{file} does not hold pytorch-fid's statistics ({reason:.200}); give a folder of "
            "images, or what `python -m pytorch_fid --save-stats` wrote"
        ) from error
    if mean.shape != (size,) or covariance.shape != (size, size):
        raise DataError(
            f"{file} has statistics of {mean.size} features, the network has {size}; "
            "compare through the network that they were made with"
        )
    wrong = np.abs(covariance - covariance.T).max() > TOLERANCE * max(np.abs(covariance).max(), 1)
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()) or wrong:
        raise DataError(f"{file} has impossible statistics; make them again")
    return statistics_of_moments(torch.from_numpy(mean), torch.from_numpy(covariance))


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[np.float64]:
    """Reads an array of numbers whose header agrees with its length.

    Raises:
        KeyError: the archive has no such array.
        ValueError: it is none, or too large.
    """
    with archive.open(f"{name}.npy") as member:
        content = member.read(LARGEST_STATISTICS + 1)
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
        version, np.lib.format.read_array_header_2_0
    )
    shape, _, kind = read(stream)
    if kind.kind != "f" or math.prod(shape) * kind.itemsize > len(content):
        raise ValueError(f"{name} is no array of numbers")
    stream.seek(0)
    return np.asarray(np.lib.format.read_array(stream, allow_pickle=False), dtype=np.float64)
