"""`pae inpaint` and `pae denoise`: image files in, restored images with uncertainty out."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from paecli.data.images.files import ImageFile, read_image
from paecli.data.images.listing import find_images
from paecli.model.model import Model
from paecli.restoration.masks.drawing import draw_mask
from paecli.restoration.masks.files import NOTHING, Mask, read_mask
from paecli.restoration.restore import restore_with
from paecli.restoration.result import Restoration
from paecli.restoration.solve import Method
from paecli.system.errors import ImageError, PaeError, UsageError
from paecli.system.heap import keep_freed_memory
from paecli.system.progress import NullProgress, Progress

CHUNK = 24  # images restored as one batch; larger ones gain little and need more memory


@dataclass(frozen=True)
class RestoreSettings:
    """How to restore.

    Attributes:
        mask: `none`, a shape of `paecli.restoration.masks.drawing`, or a file (white = missing).
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
        mask_notes: sentences on how the mask was read.
    """

    path: Path
    damaged: Tensor
    truth: Tensor | None
    restoration: Restoration
    coverage: dict[float, float] | None
    folder: Path
    mask_notes: tuple[str, ...] = ()

    @property
    def missing_pixels(self) -> int:
        """How many pixels are missing, of the model's size."""
        return int(self.damaged.isnan().any(0).sum())

    @property
    def files(self) -> dict[str, Path]:
        """Where its pictures go, by the key in the JSON output."""
        names = ("map", "mean", "std", "samples", "overview")
        return {f"{name}_file": self.folder / f"{name}.png" for name in names}


def restore_files(
    model: Model,
    source: Path,
    settings: RestoreSettings,
    *,
    out: Path,
    truth: Path | None = None,
    progress: Progress = NullProgress(),
) -> Iterator[RestoredFile]:
    """Restores an image file, or all of a folder in batches; writes nothing.

    In a folder, an image that cannot be read or whose mask does not fit is skipped, and one
    without a truth has no coverage; `progress` is told.

    Args:
        model: with both stages trained.
        source: an image file or a folder.
        settings: how to restore.
        out: folder for the pictures; for a source folder, one below it for each image. What it
            holds is no input.
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
    paths = find_images([source], leave_out=out, progress=progress)
    reader = _Reader(model.image_shape, source, settings, truth, progress)
    reader.check_shape()
    folders = _folders(paths, source, out)
    with progress.task("restoring", len(paths)) as task:
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            jobs = [job for path in chunk if (job := reader.read(path))]
            yield from _restore_chunk(model, jobs, settings, folders)
            task.advance(len(chunk))
    reader.refuse_if_all_failed()


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
    _require_damage(image.path, mask, settings.noise)
    job = _Job(image, mask, truth=None)
    return next(_restore_chunk(model, [job], settings, {image.path: Path()}))


@dataclass(frozen=True, eq=False)
class _Job:
    image: ImageFile
    mask: Mask
    truth: Tensor | None


class _Reader:
    """Reads images with their masks and truths, before anything is computed."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        source: Path,
        settings: RestoreSettings,
        truth: Path | None,
        progress: Progress,
    ) -> None:
        self._shape, self._source, self._settings = shape, source, settings
        self._truth, self._progress = truth, progress
        self._alone = not source.is_dir()
        self._said: set[str] = set()
        self._failures: list[PaeError] = []
        self._done = 0

    def check_shape(self) -> None:
        """Refuses a misspelt shape once, and not for every image."""
        mask = self._settings.mask
        if mask != NOTHING and not mask.startswith("box:") and not Path(mask).is_file():
            draw_mask(mask, height=self._shape[1], width=self._shape[2])

    def read(self, path: Path) -> _Job | None:
        """Returns what is needed to restore an image, None if a folder's image has to be skipped.

        Raises:
            PaeError: the only image cannot be restored.
        """
        try:
            image = read_image(path, image_shape=self._shape)
            mask = read_mask(
                self._settings.mask,
                image,
                invert=self._settings.invert_mask,
                seed=self._settings.seed,
            )
            _require_damage(path, mask, self._settings.noise)
        except (ImageError, UsageError) as error:
            if self._alone:
                raise
            self._failures.append(error)
            self._progress.say(f"Skipped: {error}")
            return None
        self._explain(image, mask)
        self._done += 1
        return _Job(image, mask, self._read_truth(path))

    def refuse_if_all_failed(self) -> None:
        """Raises what was wrong with the first image if none could be restored."""
        if self._failures and not self._done:
            raise self._failures[0]

    def _explain(self, image: ImageFile, mask: Mask) -> None:
        if image.resized:
            height, width = image.original_size
            self._progress.say(
                f"{image.path} is {width} x {height} pixels; restored at the model's "
                f"{self._shape[2]} x {self._shape[1]}"
            )
        for note in mask.notes:
            if note not in self._said:
                self._said.add(note)
                self._progress.say(note)

    def _read_truth(self, path: Path) -> Tensor | None:
        truth = self._truth
        if truth is None:
            return None
        if truth.is_dir() and not self._alone:
            truth = truth / path.relative_to(self._source)
        try:
            return read_image(truth, image_shape=self._shape).pixels
        except ImageError as error:
            if self._alone:
                raise
            self._progress.say(f"No coverage: {error}")
            return None


def _require_damage(path: Path, mask: Mask, noise: float) -> None:
    if noise == 0 and mask.observed.all():
        why = f" ({mask.notes[-1]})" if mask.notes else ""
        raise UsageError(
            f"{path}: no pixel is missing and there is no noise: nothing to restore{why}"
        )


def _folders(paths: Sequence[Path], source: Path, out: Path) -> dict[Path, Path]:
    """Returns where the pictures of each image go: `a` for `a.png`, if there is no `a.jpg` too."""
    if not source.is_dir():
        return {paths[0]: out}
    below = {path: path.relative_to(source) for path in paths}
    shared = Counter(relative.with_suffix("") for relative in below.values())
    return {
        path: out / (bare if shared[bare := relative.with_suffix("")] == 1 else relative)
        for path, relative in below.items()
    }


def _restore_chunk(
    model: Model, jobs: Sequence[_Job], settings: RestoreSettings, folders: Mapping[Path, Path]
) -> Iterator[RestoredFile]:
    if not jobs:
        return
    restorations = restore_with(
        model,
        torch.stack([job.image.pixels for job in jobs]),
        mask=torch.stack([job.mask.observed for job in jobs]),
        noise=settings.noise,
        method=settings.method,
        samples=settings.samples,
        starts=settings.starts,
        seed=settings.seed,
    )
    for job, restoration in zip(jobs, restorations, strict=True):
        hole = ~job.mask.observed
        among = hole if hole.any() else torch.ones_like(hole)
        true = job.truth
        yield RestoredFile(
            path=job.image.path,
            damaged=job.image.pixels.masked_fill(hole, torch.nan),
            truth=true,
            restoration=restoration,
            coverage=None if true is None else restoration.coverage(true, among.expand_as(true)),
            folder=folders[job.image.path],
            mask_notes=job.mask.notes,
        )
