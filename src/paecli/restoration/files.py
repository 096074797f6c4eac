"""`pae inpaint` and `pae denoise`: image files in, restored images with uncertainty out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from paecli.data.image_paths import find_images
from paecli.data.images.files import ImageFile, read_image
from paecli.data.opening import open_image, oriented_size
from paecli.model.model import PAE
from paecli.model.requirements import require_damage
from paecli.restoration.masks import missing_pixels
from paecli.restoration.result import Restoration
from paecli.restoration.solve import Method
from paecli.system.errors import ImageError
from paecli.system.heap import keep_freed_memory
from paecli.system.progress import NullProgress, Progress

CHUNK = 24  # images restored as one batch; larger ones gain little and need more memory
NOTHING = "none"  # mask of `pae denoise`


@dataclass(frozen=True)
class RestoreSettings:
    """How to restore.

    Attributes:
        mask: `none`, a shape of `paecli.restoration.masks`, or a file (white = missing).
        invert_mask: whether the mask file has white for observed instead.
        noise: standard deviation of the noise on the input, pixels in [0, 1].
        method: see `PAE.restore`.
        samples: images to draw.
        starts: starting points of the search for modes.
        seed: of everything random, the random mask included.
    """

    mask: str = NOTHING
    invert_mask: bool = False
    noise: float = 0.0
    method: Method = "auto"
    samples: int = 64
    starts: int = 64
    seed: int = 0


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
    """

    path: Path
    damaged: Tensor
    truth: Tensor | None
    restoration: Restoration
    coverage: dict[float, float] | None
    folder: Path

    @property
    def files(self) -> dict[str, Path]:
        """Where its pictures go, by the key in the JSON output."""
        names = ("map", "mean", "std", "samples", "overview")
        return {f"{name}_file": self.folder / f"{name}.png" for name in names}


def restore_files(
    model: PAE,
    source: Path,
    settings: RestoreSettings,
    *,
    out: Path,
    truth: Path | None = None,
    progress: Progress = NullProgress(),
) -> Iterator[RestoredFile]:
    """Restores an image file, or all of a folder in batches; writes nothing.

    Args:
        model: with both stages trained.
        source: an image file or a folder.
        settings: how to restore.
        out: folder for the pictures; for a source folder, one below it for each image.
        truth: the undamaged image, or a folder with files of the same names.
        progress: told of every image.

    Yields:
        Each restored image as soon as its batch is done.

    Raises:
        DataError: no image could be read, or a mask or truth does not fit.
        UsageError: there is nothing to restore.
    """
    model.require_flow()
    keep_freed_memory()
    paths = find_images([source])
    with progress.task("restoring", len(paths)) as task:
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            images = _readable(chunk, model.image_shape, progress, alone=source.is_file())
            yield from _restore_chunk(model, images, source, settings, out, truth)
            task.advance(len(chunk))


def read_mask(settings: RestoreSettings, image: ImageFile) -> Tensor:
    """Returns which pixels of an image are missing, boolean `(h, w)`.

    Raises:
        ImageError: a mask file that cannot be read or has another size than the image.
        UsageError: no such mask.
    """
    height, width = image.pixels.shape[1:]
    if settings.mask == NOTHING:
        return torch.zeros(height, width, dtype=torch.bool)
    path = Path(settings.mask)
    if not path.is_file():  # a folder may well be called `left`
        return missing_pixels(settings.mask, height=height, width=width, seed=settings.seed)
    with open_image(path) as opened:
        size = oriented_size(opened)
    if size not in (image.original_size, (height, width)):
        raise ImageError(
            f"the mask {path} is {size[1]} x {size[0]} pixels, {image.path} is "
            f"{image.original_size[1]} x {image.original_size[0]}; give a mask of that size"
        )
    mask = read_image(path, image_shape=(1, height, width))
    white = 1 - mask.pixels[0] if settings.invert_mask else mask.pixels[0]
    # a pixel made of several is missing when any of them is
    return white > (1 / 255 if mask.resized else 0.5)


def _readable(
    paths: Sequence[Path], shape: tuple[int, int, int], progress: Progress, *, alone: bool
) -> list[ImageFile]:
    images = []
    for path in paths:
        try:
            image = read_image(path, image_shape=shape)
        except ImageError as error:
            if alone:
                raise
            progress.say(f"Skipped: {error}")
            continue
        if image.resized:
            height, width = image.original_size
            progress.say(
                f"{path} is {width} x {height} pixels; restored at the model's "
                f"{shape[2]} x {shape[1]}"
            )
        images.append(image)
    return images


def _restore_chunk(
    model: PAE,
    images: Sequence[ImageFile],
    source: Path,
    settings: RestoreSettings,
    out: Path,
    truth: Path | None,
) -> Iterator[RestoredFile]:
    if not images:
        return
    missing = torch.stack([read_mask(settings, image) for image in images])
    require_damage(settings.noise, bool(missing.any()))
    pixels = torch.stack([image.pixels for image in images])
    restorations = model.restore_batch(
        pixels,
        mask=~missing,
        noise=settings.noise,
        method=settings.method,
        samples=settings.samples,
        starts=settings.starts,
        seed=settings.seed,
    )
    for image, hole, restoration in zip(images, missing, restorations, strict=True):
        true = _read_truth(truth, image.path, source, model.image_shape)
        among = hole if hole.any() else torch.ones_like(hole)
        yield RestoredFile(
            path=image.path,
            damaged=image.pixels.masked_fill(hole, torch.nan),
            truth=true,
            restoration=restoration,
            coverage=None if true is None else restoration.coverage(true, among.expand_as(true)),
            folder=out if source.is_file() else out / image.path.relative_to(source),
        )


def _read_truth(
    truth: Path | None, path: Path, source: Path, shape: tuple[int, int, int]
) -> Tensor | None:
    if truth is None:
        return None
    place = truth / path.relative_to(source) if truth.is_dir() and source.is_dir() else truth
    return read_image(place, image_shape=shape).pixels
