"""`pae sample` and `pae interpolate`: new images, and the way from one image to another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from paecli.data import ImageDataset, read_image
from paecli.data.model_data import load_for_model
from paecli.data.sets.locations import parse_position
from paecli.model.map_jacobian import map_jacobian
from paecli.model.model import Model
from paecli.model.requirements import require_temperature
from paecli.store.checkpoint import Header
from paecli.store.runs import origin_of
from paecli.system.errors import DataError, UsageError
from paecli.system.progress import NullProgress, Progress

SMALLEST_SINE = 1e-4  # of the angle; below it the vectors span no plane


@dataclass(frozen=True, eq=False)
class SampleReport:
    """Images drawn from a model.

    Attributes:
        images: `(count, c, h, w)` in [0, 1].
        temperature: scale of the base vectors they were made from.
        seed: the same seed and model give the same images.
    """

    images: Tensor
    temperature: float
    seed: int


@dataclass(frozen=True, eq=False)
class InterpolationReport:
    """The way from one image to another.

    Attributes:
        ends: `(2, c, h, w)` in [0, 1], the two images as the model reads them.
        frames: `(steps, c, h, w)` in [0, 1]; the first and last are the ends' reconstructions.
        log_prob: `(steps,)` log density of the frames' latents, in nats.
    """

    ends: Tensor
    frames: Tensor
    log_prob: Tensor


def draw_samples(
    model: Model, *, count: int = 64, temperature: float = 1.0, seed: int = 0
) -> SampleReport:
    """Draws images from a trained model.

    Args:
        model: both stages trained.
        count: how many, at least 1.
        temperature: scale of the base vectors; 1 is the model itself, below 1 gives more
            typical and less varied images.
        seed: of the random numbers.

    Raises:
        UsageError: a count or temperature out of range.
        CheckpointError: the model has no flow.
    """
    if count < 1:
        raise UsageError(f"cannot draw {count} images; give a number of at least 1")
    require_temperature(temperature)
    generator = torch.Generator().manual_seed(seed)
    images = model.sample(count, temperature=temperature, generator=generator)
    return SampleReport(images, temperature, seed)


@torch.no_grad()
def interpolate(model: Model, start: Tensor, end: Tensor, *, steps: int = 9) -> InterpolationReport:
    """Goes from one image to another through images that the model finds as typical.

    The path is a spherical one in the flow's base space; `spherical_path` says why. The paper
    (arXiv:2006.05479) interpolates linearly between latents.

    Args:
        model: both stages trained.
        start: `(c, h, w)`, uint8 or float in [0, 1].
        end: the same.
        steps: frames, both ends included; at least 2.

    Raises:
        UsageError: too few steps, or the images do not fit the model.
        CheckpointError: the model has no flow.
    """
    if steps < 2:
        raise UsageError("a path of fewer than 2 frames has no two ends; give at least 2 steps")
    flow = model.require_flow()
    ends = torch.stack([model.as_images(image[None])[0] for image in (start, end)])
    u, _ = flow.to_base(model.encode(ends))
    latents = flow.from_base(spherical_path(u[0], u[1], steps=steps))
    return InterpolationReport(ends, model.decode(latents), flow.log_prob(latents))


@dataclass(frozen=True, eq=False)
class DirectionsReport:
    """What changes along directions of the flow's base space from one image.

    Attributes:
        distances: `(steps,)`, from the image along a direction, in standard deviations of
            the base distribution; the middle one is 0.
        frames: `(count, steps, c, h, w)` in [0, 1].
        log_prob: `(count, steps)` log density of the frames' latents, in nats.
        shares: `(count,)` share of all change of pixels that a small step this way makes;
            descending.
    """

    distances: Tensor
    frames: Tensor
    log_prob: Tensor
    shares: Tensor


@torch.no_grad()
def go_along_directions(
    model: Model, image: Tensor, *, count: int = 6, steps: int = 13, reach: float = 3.0
) -> DirectionsReport:
    """Goes from an image along the directions of the base space that change it most.

    They are the right singular vectors of the Jacobian of the decoded image at the image's base
    vector, so at right angles to each other, and sorted by their singular values.

    Args:
        model: both stages trained.
        image: `(c, h, w)`, uint8 or float in [0, 1].
        count: directions; at most `latent_size` come back.
        steps: frames of each, an odd number.
        reach: distance of the last frames.

    Raises:
        UsageError: the image does not fit the model.
        CheckpointError: the model has no flow.
    """
    flow = model.require_flow()
    u, _ = flow.to_base(model.encode(model.as_images(image[None])))
    latent, along = map_jacobian(flow.from_base, u)
    _, derivatives = model.autoencoder.decode_along(latent, along[0])
    _, changes, directions = torch.linalg.svd(derivatives[0].flatten(1).T, full_matrices=False)
    chosen = directions[:count]
    # the sign of a singular vector is arbitrary; this one is the same everywhere
    signs = chosen.gather(1, chosen.abs().argmax(1, keepdim=True)).sign()
    distances = torch.linspace(-reach, reach, steps).to(u)
    path = u + distances[:, None] * (chosen * signs)[:, None]
    latents = flow.from_base(path.flatten(0, 1))
    shape = (len(chosen), steps)
    return DirectionsReport(
        distances=distances,
        frames=model.decode(latents).view(*shape, *model.image_shape),
        log_prob=flow.log_prob(latents).view(shape),
        shares=(changes.square() / changes.square().sum())[:count],
    )


def read_ends(
    texts: Sequence[str],
    *,
    model: Model,
    header: Header,
    data_dir: Path | None = None,
    progress: Progress = NullProgress(),
) -> list[Tensor]:
    """Reads images that the user names by file, or by their place in the model's data set.

    Args:
        texts: image files, or `test:12` or `train:12`; the data set is loaded once for all.
        model: says which shape the images must have.
        header: says which data set the model was trained on.
        data_dir: where to look for the data set first.
        progress: told when another data set than the model's own has to serve.

    Returns:
        `(c, h, w)` each, float in [0, 1] or uint8.

    Raises:
        ImageError: a file cannot be read.
        DataError: the data set is missing or has no such image.
    """
    data: ImageDataset | None = None
    ends: list[Tensor] = []
    for text in texts:
        place = parse_position(text)
        if place is None:
            ends.append(read_image(Path(text), image_shape=model.image_shape).pixels)
            continue
        if data is None:
            data = load_for_model(
                origin_of(model, header), data_dir=data_dir, progress=progress
            ).dataset
        ends.append(_image_at(place, data))
    return ends


def _image_at(place: tuple[str, int], data: ImageDataset) -> Tensor:
    part, index = place
    images = (data.train if part == "train" else data.test).images
    if index >= len(images):
        last = f"{part}:{len(images) - 1}"
        raise DataError(f"{data.name} has no {part}:{index}; choose one of {part}:0 to {last}")
    return images[index]


def spherical_path(start: Tensor, end: Tensor, *, steps: int) -> Tensor:
    """Goes from one vector to another at constant angular speed; the length changes linearly.

    Draws from N(0, I) in n dimensions lie near a sphere of radius sqrt(n). A straight line
    between two of them cuts through its inside, where almost no draw lies (its middle has
    length sqrt(n / 2) in the mean), and so through images that are too average. This path
    stays as far out as its ends are.

    Args:
        start: `(n,)`.
        end: `(n,)`.
        steps: points of the path, both ends included.

    Returns:
        `(steps, n)`. Where both vectors point the same or the opposite way: the straight line.

    Source: Shoemake 1985, "Animating rotation with quaternion curves" (slerp).
    """
    fraction = torch.linspace(0, 1, steps, dtype=start.dtype, device=start.device)[:, None]
    angle = F.cosine_similarity(start, end, dim=0).clamp(-1, 1).acos()
    if angle.sin() < SMALLEST_SINE:
        return torch.lerp(start, end, fraction)
    from_start = ((1 - fraction) * angle).sin() * F.normalize(start, dim=0)
    from_end = (fraction * angle).sin() * F.normalize(end, dim=0)
    length = torch.lerp(start.norm(), end.norm(), fraction)
    return length * (from_start + from_end) / angle.sin()
