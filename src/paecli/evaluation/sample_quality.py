"""How close generated images are to real ones: FID, KID, precision and recall."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from paecli.evaluation.features.cache import cached_features
from paecli.evaluation.features.network import FeatureNetwork
from paecli.evaluation.fid import frechet_distance, frechet_standard_error, gaussian_statistics
from paecli.evaluation.kid import kernel_distance, mean_kernel
from paecli.evaluation.precision_recall import PrecisionRecall, measure_precision_recall
from paecli.system.errors import UsageError
from paecli.system.names import counted
from paecli.system.progress import NullProgress, Progress

FEWEST_IMAGES = 20  # below, no interval means anything
RESAMPLES, RESAMPLES_WIDE = 100, 20  # of the bootstrap; wide features cost seconds each
WIDE = 512  # features

NO_MODEL = ("train", "noise")  # sets that say nothing of the model
Interval = tuple[float, float]


@dataclass(frozen=True)
class Distances:
    """One kind of distance, from the reference images to each other set.

    Attributes:
        samples: to the model's samples; None without a flow.
        reconstructions: to reconstructions of the reference images: what the decoder costs.
        decoded_gaussian: to decoded N(0, I) latents, as if no flow had been trained.
        train: to training images: what a perfect model would get.
        noise: to uniform random pixels: what a model gets that knows nothing.
        intervals: 95 % interval of each of them.
        protocol: everything that must be equal for two figures to be comparable.
    """

    samples: float | None
    reconstructions: float
    decoded_gaussian: float
    train: float
    noise: float
    intervals: dict[str, Interval]
    protocol: str


@dataclass(frozen=True)
class SampleQuality:
    """What feature networks say of the model's images.

    Attributes:
        features: name of the feature network.
        frechet: squared Frechet distances (FID), or None when not asked for.
        kernel: kernel distances (KID), or None when not asked for.
        precision_recall: precision, recall, density and coverage of each set.
    """

    features: str
    frechet: Distances | None
    kernel: Distances | None
    precision_recall: dict[str, PrecisionRecall]


def sample_quality(
    reference: Tensor,
    sets: dict[str, Tensor],
    network: FeatureNetwork,
    *,
    dataset: str,
    frechet: bool = True,
    kernel: bool = False,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress = NullProgress(),
) -> SampleQuality:
    """Compares sets of images with reference images.

    Args:
        reference: `(n, c, h, w)` uint8.
        sets: `reconstructions`, `decoded_gaussian`, `train`, `noise` and perhaps `samples`, each
            uint8.
        network: what computes the features.
        dataset: what the reference images are, for the protocol line.
        frechet: whether to compute Frechet distances.
        kernel: whether to compute kernel distances.
        seed: seed of the bootstrap.
        cache: where features are kept; the user's cache by default.
        progress: told of every chunk of features.

    Raises:
        UsageError: fewer than 20 images in a set.
    """
    smallest = min(len(images) for images in (reference, *sets.values()))
    if smallest < FEWEST_IMAGES:
        raise UsageError(
            f"too few to compare: {counted(smallest, 'image')}; give --samples {FEWEST_IMAGES} or "
            "more, and a data set with as many test images"
        )
    real = cached_features(reference, network, label="test images", folder=cache, progress=progress)
    features = {
        name: cached_features(images, network, label=name.replace("_", " "), folder=cache,
                              progress=progress)
        for name, images in sets.items()
    }  # fmt: skip
    protocol = _protocol(network, dataset, len(reference), len(next(iter(sets.values()))))
    return SampleQuality(
        features=network.name,
        frechet=_frechet(real, features, protocol, seed, progress) if frechet else None,
        kernel=_kernel(real, features, protocol) if kernel else None,
        precision_recall={
            name: measure_precision_recall(real, values)
            for name, values in features.items()
            if name not in NO_MODEL
        },
    )


def _protocol(network: FeatureNetwork, dataset: str, reference: int, count: int) -> str:
    return (
        f"{count:,} images against {reference:,} test images of {dataset}, "
        f"both rounded to 8 bit; {network.description}"
    )


def _frechet(
    real: Tensor, features: dict[str, Tensor], protocol: str, seed: int, progress: Progress
) -> Distances:
    statistics = gaussian_statistics(real)
    resamples = RESAMPLES_WIDE if real.shape[1] > WIDE else RESAMPLES
    generator = torch.Generator().manual_seed(seed)
    values, intervals = {}, {}
    with progress.task("bootstrap of the Frechet distance", resamples * len(features)) as task:
        for name, others in features.items():
            values[name] = frechet_distance(statistics, gaussian_statistics(others))
            error = frechet_standard_error(
                real, others, resamples=resamples, generator=generator, after_each=task.advance
            )
            intervals[name] = (max(0.0, values[name] - 1.96 * error), values[name] + 1.96 * error)
    return _distances(values, intervals, f"squared Frechet distance, {protocol}")


def _kernel(real: Tensor, features: dict[str, Tensor], protocol: str) -> Distances:
    within = mean_kernel(real)
    results = {
        name: kernel_distance(real, others, within_a=within) for name, others in features.items()
    }
    return _distances(
        {name: result.value for name, result in results.items()},
        {name: result.ci for name, result in results.items()},
        f"kernel distance (cubic polynomial, all pairs), {protocol}",
    )


def _distances(
    values: dict[str, float], intervals: dict[str, Interval], protocol: str
) -> Distances:
    return Distances(
        samples=values.get("samples"),
        reconstructions=values["reconstructions"],
        decoded_gaussian=values["decoded_gaussian"],
        train=values["train"],
        noise=values["noise"],
        intervals=intervals,
        protocol=protocol,
    )
