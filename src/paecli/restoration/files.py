"""`pae inpaint` and `pae denoise`: image files in, restored images with uncertainty out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from paecli.data.images.files import ImageFile
from paecli.data.images.listing import find_images
from paecli.model.model import Model
from paecli.restoration.damage import check_damage
from paecli.restoration.guarantee.references import Guarantee, Likeness, References
from paecli.restoration.larger.tiles import restore_in_tiles
from paecli.restoration.masks.files import Mask
from paecli.restoration.noise_maps import read_noise
from paecli.restoration.picture_files import folders_for, picture_files
from paecli.restoration.reading import Job, Reader, RestoreSettings, require_damaged
from paecli.restoration.restore import restore_with
from paecli.restoration.result import Restoration
from paecli.restoration.samplers.draws import KEPT
from paecli.system.heap import keep_freed_memory
from paecli.system.progress import NullProgress, Progress

CHUNK = 24  # images restored as one batch, at most; larger ones gain little
CHUNK_BYTES = 128 << 20  # of the answers of a batch, which are kept until their files are written
FLOAT = 4  # bytes


@dataclass(frozen=True, eq=False)
class RestoredFile:
    """One restored image file.

    Attributes:
        path: the input.
        damaged: `(c, h, w)` what the model saw, NaN where missing.
        truth: `(c, h, w)` or None.
        restoration: the result.
        coverage: share of the missing (or, with none missing, of all) true pixels inside the
            intervals of 50, 80 and 95 %; None without a truth.
        folder: where its pictures go.
        mask_notes: sentences on how the mask was read.
        likeness: how what is observed compares with held-out images; None where not asked for.
        guarantee: intervals that hold what they promise; None where not asked for.
    """

    path: Path
    damaged: Tensor
    truth: Tensor | None
    restoration: Restoration
    coverage: dict[float, float] | None
    folder: Path
    mask_notes: tuple[str, ...] = ()
    likeness: Likeness | None = None
    guarantee: Guarantee | None = None

    @property
    def missing_pixels(self) -> int:
        """How many pixels are missing, of the model's size."""
        return int(self.damaged.isnan().any(0).sum())

    @property
    def files(self) -> dict[str, Path]:
        """Where its pictures go, by the key in the JSON output."""
        return picture_files(self.folder, intervals=self.guarantee is not None)


def restore_files(
    model: Model,
    source: Path,
    settings: RestoreSettings,
    *,
    out: Path,
    truth: Path | None = None,
    references: References | None = None,
    progress: Progress = NullProgress(),
) -> Iterator[RestoredFile]:
    """Restores an image file, or all of a folder in batches; writes nothing.

    In a folder, an image that cannot be read, or whose mask or noise map is missing or does not
    fit, is skipped, and one without a truth has no coverage; `progress` is told, of what is
    missing before anything is computed.

    Args:
        model: with both stages trained.
        source: an image file or a folder.
        settings: how to restore.
        out: folder for the pictures; for a source folder, one below it for each image. What it
            holds is no input.
        truth: the undamaged image, or a folder with files of the same names.
        references: held-out images to compare with, and to set intervals by; None: neither.
        progress: told of every image.

    Yields:
        Each restored image as soon as its batch is done.

    Raises:
        DataError: no image could be read, or a mask or truth does not fit.
        UsageError: there is nothing to restore.
    """
    model.require_flow()
    keep_freed_memory()
    paths = find_images([source], leave_out=out, progress=progress)
    reader = Reader(model.image_shape, source, settings, truth, progress)
    paths = reader.prepare(paths)
    folders, told = folders_for(paths, source, out), False
    with progress.task("restoring", len(paths)) as task:
        size = batch_size(model.image_shape, settings.samples)
        for start in range(0, len(paths), size):
            chunk = paths[start : start + size]
            jobs = [job for path in chunk if (job := reader.read(path))]
            if not told and (warning := next(filter(None, (doubt(model, j) for j in jobs)), "")):
                progress.say(warning)
                told = True
            if settings.tiles:
                yield from _restore_tiled(model, jobs, settings, folders, progress)
            else:
                yield from _restore_chunk(model, jobs, settings, folders, references)
            task.advance(len(chunk))
    reader.refuse_if_all_failed()


def batch_size(image_shape: tuple[int, int, int], samples: int) -> int:
    """Returns how many images are restored together, so that their answers fit into memory.

    Args:
        image_shape: `(channels, height, width)` of the model.
        samples: restored images that are drawn of each.
    """
    answer = FLOAT * prod(image_shape) * (KEPT + samples)
    return min(max(CHUNK_BYTES // answer, 1), CHUNK)


def restore_image(
    model: Model, image: ImageFile, mask: Mask, settings: RestoreSettings
) -> RestoredFile:
    """Restores an image that was read already, as `restore_files` does; its folder is empty.

    Args:
        model: with both stages trained.
        image: the image.
        mask: what is missing; the one of the settings is not looked at.
        settings: how to restore.

    Raises:
        UsageError: there is nothing to restore.
    """
    model.require_flow()
    noise = read_noise(settings.noise, image)
    require_damaged(image.path, mask, noise, settings)
    job = Job(image, mask, noise, truth=None)
    return next(_restore_chunk(model, [job], settings, {image.path: Path()}))


def _restore_chunk(
    model: Model,
    jobs: Sequence[Job],
    settings: RestoreSettings,
    folders: Mapping[Path, Path],
    references: References | None = None,
) -> Iterator[RestoredFile]:
    if not jobs:
        return
    restorations = restore_with(
        model,
        torch.stack([job.image.pixels for job in jobs]),
        mask=torch.stack([job.mask.observed for job in jobs]),
        noise=_stacked([job.noise for job in jobs]),
        blur=settings.blur,
        downsample=settings.downsample,
        method=settings.method,
        samples=settings.samples,
        starts=settings.starts,
        seed=settings.seed,
    )
    for job, restoration in zip(jobs, restorations, strict=True):
        likeness, guarantee = _compare(model, job, settings, references)
        yield _restored(
            job,
            restoration,
            folders[job.image.path],
            whole=settings.through_operator,
            likeness=likeness,
            guarantee=guarantee,
        )


def _compare(
    model: Model, job: Job, settings: RestoreSettings, references: References | None
) -> tuple[Likeness | None, Guarantee | None]:
    """Returns what held-out images tell of an answer; nothing where nobody asked."""
    if references is None:
        return None, None
    damage = check_damage(
        job.image.pixels[None],
        job.mask.observed[None],
        noise=_stacked([job.noise]),
        image_shape=model.image_shape,
        blur=settings.blur,
        downsample=settings.downsample,
    )
    likeness = references.likeness(damage)
    if settings.confidence is None:
        return likeness, None
    return likeness, references.guarantee(damage, settings.confidence).of_one()


def _restored(
    job: Job,
    restoration: Restoration,
    folder: Path,
    *,
    whole: bool = False,
    likeness: Likeness | None = None,
    guarantee: Guarantee | None = None,
) -> RestoredFile:
    """Returns the result of one file; with `whole`, all pixels count as missing."""
    hole, true = ~job.mask.observed, job.truth
    among = (
        hole if hole.any() and not whole else torch.ones_like(restoration.mean, dtype=torch.bool)
    )
    return RestoredFile(
        path=job.image.path,
        damaged=job.image.pixels.masked_fill(hole, torch.nan),
        truth=true,
        restoration=restoration,
        coverage=None if true is None else restoration.coverage(true, among.expand_as(true)),
        folder=folder,
        mask_notes=job.mask.notes,
        likeness=likeness,
        guarantee=guarantee,
    )


def _restore_tiled(
    model: Model,
    jobs: Sequence[Job],
    settings: RestoreSettings,
    folders: Mapping[Path, Path],
    progress: Progress,
) -> Iterator[RestoredFile]:
    for job in jobs:
        restoration = restore_in_tiles(
            model,
            job.image.pixels,
            observed=job.mask.observed,
            noise=job.noise,
            method=settings.method,
            samples=settings.samples,
            starts=settings.starts,
            seed=settings.seed,
            progress=progress,
        )
        yield _restored(job, restoration, folders[job.image.path])


def doubt(model: Model, job: Job) -> str:
    """Returns a sentence where a whole image has less noise than the model has errors."""
    noise = torch.as_tensor(job.noise).square().mean().sqrt().item()
    error = model.sigma.square().mean().sqrt().item()
    if (
        not job.mask.observed.all()
        or not 0 < noise < error
        or job.image.pixels.shape != model.image_shape
    ):
        return ""
    return (
        f"the model's own error ({error:.2g}, root mean square) is larger than the noise "
        f"({noise:.2g}): the restored image is likely further from the truth than the input"
    )


def _stacked(noises: Sequence[float | Tensor]) -> float | Tensor:
    """Returns noise for a batch: `(n, c, h, w)`, or the number that all share."""
    if all(isinstance(noise, float) for noise in noises):
        return noises[0]
    return torch.stack([torch.as_tensor(noise) for noise in noises])
