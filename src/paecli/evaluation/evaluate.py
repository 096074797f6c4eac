"""`pae eval`: how well a model reconstructs, how well its flow fits, how good its samples are."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from paecli.data import ImageDataset
from paecli.data.model_data import ModelData, load_for_model
from paecli.evaluation.features.network import FeatureNetwork, to_8_bit
from paecli.evaluation.flow_fit import measure_base_fit, two_sample_test
from paecli.evaluation.memorisation import Memorisation, memorisation
from paecli.evaluation.reconstruction import mean_with_interval, reconstruction_quality
from paecli.evaluation.result import Evaluation, Examples, FlowQuality
from paecli.evaluation.sample_quality import SampleQuality, sample_quality
from paecli.evaluation.smoothness import interpolation, lines_between
from paecli.model.flow import LatentFlow
from paecli.model.model import BATCH, Model
from paecli.model.principal_components import principal_components
from paecli.store.runs import load_with_header, origin_of
from paecli.system.errors import DataError
from paecli.system.names import counted
from paecli.system.progress import NullProgress, Progress

FEWEST = 10  # test images; below it the tests of the flow mean nothing
COMPARED = 1000  # samples and test images that are compared with every training image
LINES, STEPS = 64, 10  # of the interpolation check
MOST_SAMPLES = 10_000  # images in each set that features are computed of, unless more are asked for
EXAMPLES = 64  # images of each kind kept for pictures


@dataclass(frozen=True)
class SampleQualityOptions:
    """What to compare samples by.

    Attributes:
        network: see `features.opening`, which imports what only some networks need.
        fid: whether to compute Frechet distances.
        kid: whether to compute kernel distances.
        samples: images in each set; None for as many as there are test images, at most
            `MOST_SAMPLES`. More than test images hardly sharpen a distance to these.
        cache: where features are kept; the user's cache by default.
    """

    network: FeatureNetwork
    fid: bool = True
    kid: bool = False
    samples: int | None = None
    cache: Path | None = None


def evaluate(
    model_name: str | Path | None = None,
    *,
    dataset: str | None = None,
    data_dir: Path | None = None,
    whole: bool = False,
    compare: SampleQualityOptions | None = None,
    seed: int = 0,
    progress: Progress = NullProgress(),
) -> Evaluation:
    """Evaluates a model on test images.

    Args:
        model_name: see `paecli.store.runs.load`.
        dataset: data set to use; the one the model was trained on by default.
        data_dir: folder that holds the data sets.
        whole: all images of `dataset` are test images where it has no split.
        compare: compare samples through a feature network, too; this is slow.
        seed: seed of everything random.
        progress: told of the steps.

    Raises:
        CheckpointError: there is no such model.
        DataError: there are no such images.
        UsageError: the images do not fit the model.
    """
    model, header = load_with_header(model_name)
    loaded = load_for_model(
        origin_of(model, header),
        dataset=dataset,
        data_dir=data_dir,
        whole=whole,
        progress=progress,
    )
    data = loaded.dataset
    if len(data.test) < FEWEST:
        raise DataError(
            f"{data.name} has {counted(len(data.test), 'test image')}, too few to compare "
            f"distributions; evaluate on at least {FEWEST}"
        )
    z = model.encode(data.test.images)
    examples = _examples(model, data.test.images, z, seed=seed)
    has_flow = model.flow is not None
    return Evaluation(
        model=str(model_name or "bundled"),
        dataset=data.name,
        content_hash=data.content_hash,
        substitute_for=loaded.substitute_for,
        seen_images=loaded.seen,
        images=len(z),
        seed=seed,
        reconstruction=replace(
            reconstruction_quality(
                _with_reconstructions(model, data.test.images, z),
                labels=data.test.labels,
                classes=data.test.classes,
            ),
            pca_mse=_linear_error(
                loaded.trained_on, data.test.images, components=model.latent_size
            ),
        ),
        flow=_flow_quality(model.require_flow(), z, seed=seed) if has_flow else None,
        memorisation=_memorisation(model, loaded, seed=seed, progress=progress),
        interpolation=None if examples.lines is None else interpolation(examples.lines),
        sample_quality=None
        if compare is None
        else _sample_quality(model, data, z, compare, seed=seed, progress=progress),
        examples=examples,
    )


def _with_reconstructions(
    model: Model, images: Tensor, z: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields batches of test images and their reconstructions, in [0, 1]."""
    for part, latents in zip(images.split(BATCH), z.split(BATCH), strict=True):
        yield model.as_images(part), model.decode(latents)


def _decode_to_8_bit(model: Model, z: Tensor) -> Tensor:
    """Decodes latents `(n, k)` to images `(n, c, h, w)` uint8; floats are held of a batch only."""
    parts = [to_8_bit(model.decode(latents)) for latents in z.split(BATCH)]
    return torch.cat(parts)


@torch.no_grad()
def _linear_error(training: Tensor | None, test: Tensor, *, components: int) -> float | None:
    """Returns the error of the best linear autoencoder, by which a network's is judged."""
    if training is None:
        return None
    return principal_components(training, components).mse(test)


@torch.no_grad()
def _flow_quality(flow: LatentFlow, z: Tensor, *, seed: int) -> FlowQuality:
    u, log_determinant = flow.to_base(z)
    log_prob = flow.base.log_prob(u) + log_determinant
    samples = flow.sample(len(z), generator=_generator(seed))
    nll, nll_ci = mean_with_interval(-log_prob.double())
    return FlowQuality(
        nll=nll,
        nll_ci=nll_ci,
        two_sample=two_sample_test(z, samples, seed=seed),
        base_fit=measure_base_fit(flow.base.standardise(u, _generator(seed))),
    )


def _memorisation(
    model: Model, loaded: ModelData, *, seed: int, progress: Progress
) -> Memorisation | None:
    """Compares samples with the very images that the model was trained on, if they are here."""
    if model.flow is None:
        return None
    if loaded.trained_on is None:
        progress.say(
            "whether samples copy training images cannot be told: not all of the images that the "
            "model was trained on are here"
        )
        return None
    samples = model.sample(COMPARED, generator=_generator(seed))
    test = loaded.dataset.test.images
    fresh = model.reconstruct(test[_some(len(test), COMPARED)])
    return memorisation(samples, fresh, loaded.trained_on)


def _sample_quality(
    model: Model,
    data: ImageDataset,
    z: Tensor,
    compare: SampleQualityOptions,
    *,
    seed: int,
    progress: Progress,
) -> SampleQuality:
    count = compare.samples or min(len(z), MOST_SAMPLES)
    chosen = _some(len(z), count)
    sets = {
        "reconstructions": _decode_to_8_bit(model, z[chosen]),
        "decoded_gaussian": _decode_to_8_bit(model, _gaussian(model, count, seed)),
        "train": data.train.images[_some(len(data.train), count)],
        "noise": _noise(model, count),
    }
    if model.flow is not None:
        drawn = model.flow.sample(count, generator=_generator(seed))
        sets = {"samples": _decode_to_8_bit(model, drawn), **sets}
    return sample_quality(
        data.test.images[chosen],
        sets,
        compare.network,
        dataset=data.name,
        frechet=compare.fid,
        kernel=compare.kid,
        seed=seed,
        cache=compare.cache,
        progress=progress,
    )


@torch.no_grad()
def _examples(model: Model, images: Tensor, z: Tensor, *, seed: int) -> Examples:
    has_flow = model.flow is not None
    shown = _some(len(z), EXAMPLES)
    return Examples(
        originals=model.as_images(images[shown]),
        reconstructions=model.decode(z[shown]),
        decoded_gaussian=model.decode(_gaussian(model, EXAMPLES, seed)),
        samples=model.sample(EXAMPLES, generator=_generator(seed)) if has_flow else None,
        lines=_lines(model, z) if has_flow else None,
    )


def _lines(model: Model, z: Tensor) -> Tensor:
    """Decodes straight lines in base space between pairs of test images."""
    flow = model.require_flow()
    u = flow.to_base(z[: 2 * LINES])[0]
    half = len(u) // 2
    points = lines_between(u[:half], u[half : 2 * half], steps=STEPS)
    images = model.decode(flow.from_base(points.flatten(0, 1)))
    return images.view(*points.shape[:2], *images.shape[1:])


def _gaussian(model: Model, count: int, seed: int) -> Tensor:
    return torch.randn(count, model.latent_size, generator=_generator(seed)).to(model.sigma)


def _some(available: int, wanted: int) -> Tensor:
    """Returns the numbers of so many images, drawn at random: sets are sorted in many ways."""
    drawn = torch.randperm(available, generator=_generator(0))[:wanted]
    return drawn.sort().values


def _noise(model: Model, count: int) -> Tensor:
    """Draws uniform pixels `(count, c, h, w)` uint8; always the same: their features are kept."""
    shape = (count, *model.image_shape)
    return torch.randint(256, shape, dtype=torch.uint8, generator=_generator(0))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
