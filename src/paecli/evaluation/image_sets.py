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
from paecli.system.errors import DataError, ImageError, PaeError
from paecli.system.progress import NullProgress, Progress

STATISTICS = ".npz"  # ending of pytorch-fid's statistics
CHANNELS = 3
CHUNK_BYTES = 64 << 20  # of decoded images that are in memory together
CHUNK = 500  # images, at most
HEADER = 1 << 16  # bytes of an array's description, at most
LARGEST_NUMBER = 16  # bytes
MOST_FEATURES = 8192  # inception has 2048
LARGEST_VALUE = 1e30  # of a mean or covariance; features are about 1
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


def read_statistics(file: Path, *, size: int | None) -> GaussianStatistics:
    """Reads `mu` and `sigma` as `python -m pytorch_fid --save-stats` writes them.

    Nothing in the file is executed, and no more is read than it may hold.

    Args:
        file: an `.npz` file.
        size: how many features the network has; None for any.

    Raises:
        DataError: not such a file, of another network, or impossible values.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            mean = _read_array(archive, "mu", (size,))
            covariance = _read_array(archive, "sigma", (len(mean), len(mean)))
    except PaeError:
        raise
    except Exception as error:  # readers of archives and arrays fail in many ways on hostile files
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise DataError(
            f"{file} does not hold pytorch-fid's statistics ({reason:.200}); give a folder of "
            "images, or what `python -m pytorch_fid --save-stats` wrote"
        ) from error
    if not _is_moderate(mean) or not _is_covariance(covariance):
        raise DataError(f"{file} has impossible statistics; make them again")
    return statistics_of_moments(torch.from_numpy(mean), torch.from_numpy(covariance))


def _is_moderate(values: NDArray[np.float64]) -> bool:
    """Tells whether values are numbers that can be squared and added up."""
    return bool((np.abs(values) <= LARGEST_VALUE).all())  # not for NaN


def _is_covariance(values: NDArray[np.float64]) -> bool:
    """Tells whether a matrix is symmetric, and no two features vary together more than alone."""
    if not _is_moderate(values):
        return False
    error = TOLERANCE * max(np.abs(values).max(), 1)
    variances = values.diagonal()
    if np.abs(values - values.T).max() > error or variances.min() < -error:
        return False
    deviations = np.sqrt(variances.clip(0))
    return bool((np.abs(values) <= np.outer(deviations, deviations) + error).all())


def _read_array(
    archive: zipfile.ZipFile, name: str, wanted: tuple[int | None, ...]
) -> NDArray[np.float64]:
    """Reads an array of numbers, and no more of the archive than one of that shape has.

    None in the shape stands for any number up to `MOST_FEATURES`.

    Raises:
        DataError: it is of another network.
        KeyError: the archive has no such array.
        ValueError: it is none.
    """
    most = math.prod(MOST_FEATURES if side is None else side for side in wanted)
    with archive.open(f"{name}.npy") as member:
        # what is packed may unpack into far more
        stream = io.BytesIO(member.read(HEADER + most * LARGEST_NUMBER))
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
        version, np.lib.format.read_array_header_2_0
    )
    shape, _, kind = read(stream)
    if kind.kind != "f":
        raise ValueError(f"{name} is no array of numbers")
    fits = len(shape) == len(wanted) and math.prod(shape) <= most
    if not fits or any(side not in (None, own) for side, own in zip(wanted, shape, strict=True)):
        expected = " x ".join("N" if side is None else str(side) for side in wanted)
        raise DataError(
            f"{archive.filename} has statistics ({name}) of shape {shape}, not {expected}; "
            "compare through the network that they were made with"
        )
    stream.seek(0)
    return np.asarray(np.lib.format.read_array(stream, allow_pickle=False), dtype=np.float64)
