"""What a restoration is given: images with their masks, noise and truths, read from files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from paecli.data.images.files import ImageFile, read_image
from paecli.data.images.opening import has_colour, open_image, oriented_size, several_note
from paecli.data.images.partners import ARRAY_ENDING, Partners
from paecli.data.images.tiling import tile_corners
from paecli.model.requirements import require_operator
from paecli.restoration.larger.sizes import require_like_size
from paecli.restoration.masks.drawing import draw_mask
from paecli.restoration.masks.files import NOTHING, Mask, read_mask
from paecli.restoration.masks.shapes import is_mask_folder
from paecli.restoration.noise_maps import read_noise
from paecli.restoration.solve import Method
from paecli.system.errors import ImageError, PaeError, UsageError
from paecli.system.progress import Progress


@dataclass(frozen=True)
class RestoreSettings:
    """How to restore.

    Attributes:
        mask: `none`, a shape of `paecli.restoration.masks.drawing`, a file (white = missing), or a
            folder with a file for each image.
        invert_mask: whether the mask file has white for observed instead.
        noise: standard deviation of the noise on the input, pixels in [0, 1]: a number, a file
            with one a pixel, or a folder of these.
        blur: standard deviation of the blur of the input, in pixels of the model's size.
        downsample: side of the blocks of pixels of which the input holds the mean.
        method: see `PAE.restore`.
        samples: images to draw.
        starts: starting points of the search for modes.
        seed: of everything random, the random mask included.
        resize: whether to shrink images of any size and colour to the model's, as training does
            with a folder's.
        tiles: whether to restore larger images at their own size, tile by tile.
        confidence: share of the missing pixels that guaranteed intervals hold, in (0, 1); None:
            no such intervals.
    """

    mask: str = NOTHING
    invert_mask: bool = False
    noise: float | Path = 0.0
    blur: float = 0.0
    downsample: int = 1
    method: Method = "auto"
    samples: int = 64
    starts: int = 64
    seed: int = 0
    resize: bool = True
    tiles: bool = False
    confidence: float | None = None

    @property
    def through_operator(self) -> bool:
        """Whether the input is blurred or smaller than the answer."""
        return self.blur > 0 or self.downsample > 1


@dataclass(frozen=True, eq=False)
class Job:
    """An image to restore.

    Attributes:
        image: as it is seen.
        mask: what is observed of it.
        noise: standard deviation, a number or `(c, h, w)`.
        truth: `(c, h, w)` of the model's size, with tiles of the image's, or None.
    """

    image: ImageFile
    mask: Mask
    noise: float | Tensor
    truth: Tensor | None


class Reader:
    """Reads images with their masks, noise and truths, before anything is computed."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        source: Path,
        settings: RestoreSettings,
        truth: Path | None,
        progress: Progress,
    ) -> None:
        """Takes what the user named; see `paecli.restoration.files.restore_files`."""
        self._whole, self._source, self._settings = shape, source, settings
        self._shape = require_operator(shape, blur=settings.blur, downsample=settings.downsample)
        self._progress = progress
        self._alone = not source.is_dir()
        self._masks = (
            Partners(source, Path(settings.mask)) if is_mask_folder(settings.mask) else None
        )
        self._noises = (
            Partners(source, settings.noise, also=(ARRAY_ENDING,))
            if isinstance(settings.noise, Path)
            else None
        )
        self._truths = None if truth is None else Partners(source, truth)
        self._said: set[str] = set()
        self._failures: list[PaeError] = []
        self._done = 0

    def prepare(self, paths: Sequence[Path]) -> list[Path]:
        """Refuses a misspelt shape once, and says which images have no mask, noise or truth.

        Returns:
            The images that have what it takes.

        Raises:
            DataError: none has.
        """
        mask = self._settings.mask
        is_shape = mask != NOTHING and self._masks is None and not Path(mask).is_file()
        if is_shape and not mask.startswith("box:"):
            draw_mask(mask, height=self._shape[1], width=self._shape[2])
        kept = list(paths)
        for partners, what in ((self._masks, "mask"), (self._noises, "noise map")):
            if partners is not None:
                kept = self._with_partner(kept, partners, what)
        if self._truths is not None and (lacking := self._truths.missing(kept)):
            complaint = self._truths.complaint(lacking, len(kept), "truth")
            if self._alone:
                raise ImageError(complaint)
            self._progress.say(f"{complaint}; these have no coverage")
        return kept

    def _with_partner(self, paths: list[Path], partners: Partners, what: str) -> list[Path]:
        lacking = partners.missing(paths)
        if not lacking:
            return paths
        complaint = partners.complaint(lacking, len(paths), what)
        if len(lacking) == len(paths):
            raise ImageError(f"{complaint}; give files of the images' names")
        self._progress.say(f"{complaint}; these are left out")
        return [path for path in paths if path not in set(lacking)]

    def read(self, path: Path) -> Job | None:
        """Returns what is needed to restore an image, None if a folder's image has to be skipped.

        Raises:
            PaeError: the only image cannot be restored.
        """
        try:
            image = self._read_image(path)
            if not self._settings.resize and not self._settings.tiles:
                require_like_size(image, self._shape)
            mask = self._read_mask(path, image)
            noise = self._read_noise(path, image)
            require_damaged(path, mask, noise, self._settings)
        except (ImageError, UsageError) as error:
            if self._alone:
                raise
            self._failures.append(error)
            self._progress.say(f"Skipped: {error}")
            return None
        self._explain(image, mask)
        self._done += 1
        return Job(image, mask, noise, self._read_truth(path, image))

    def refuse_if_all_failed(self) -> None:
        """Raises what was wrong with the first image if none could be restored."""
        if self._failures and not self._done:
            raise self._failures[0]

    def _read_image(self, path: Path) -> ImageFile:
        if not self._settings.tiles:
            return read_image(path, image_shape=self._shape)
        with open_image(path) as opened:
            size, colour = oriented_size(opened), has_colour(opened)
        tile_corners(size, (self._shape[1], self._shape[2]))
        if colour and self._shape[0] == 1:
            self._say_once("the model is grey: images in colour are restored in grey")
        return read_image(path, image_shape=(self._shape[0], *size))

    def _read_mask(self, path: Path, image: ImageFile) -> Mask:
        settings = self._settings
        spec = settings.mask if self._masks is None else str(self._masks.of(path))
        return read_mask(spec, image, invert=settings.invert_mask, seed=settings.seed)

    def _read_noise(self, path: Path, image: ImageFile) -> float | Tensor:
        own = None if self._noises is None else self._noises.of(path)
        return read_noise(self._settings.noise if own is None else own, image)

    def _explain(self, image: ImageFile, mask: Mask) -> None:
        if image.resized:
            height, width = image.original_size
            self._progress.say(
                f"{image.path} is {width} x {height} pixels; restored at the model's "
                f"{self._whole[2]} x {self._whole[1]}"
            )
        for note in mask.notes:
            self._say_once(note)
        if image.several:
            self._progress.say(several_note([image.path]))

    def _say_once(self, note: str) -> None:
        if note not in self._said:
            self._said.add(note)
            self._progress.say(note)

    def _read_truth(self, path: Path, image: ImageFile) -> Tensor | None:
        truth = None if self._truths is None else self._truths.of(path)
        if truth is None:
            return None
        try:
            size = image.original_size if self._settings.tiles else self._whole[1:]
            return read_image(truth, image_shape=(self._whole[0], *size)).pixels
        except ImageError as error:
            if self._alone:
                raise
            self._progress.say(f"No coverage: {error}")
            return None


def require_damaged(
    path: Path, mask: Mask, noise: float | Tensor, settings: RestoreSettings
) -> None:
    """Refuses to restore an image that is whole.

    Raises:
        UsageError: nothing is missing, and there is neither noise nor blur nor down-sampling.
    """
    noisy = bool(noise.any()) if isinstance(noise, Tensor) else noise > 0
    if not noisy and mask.observed.all() and not settings.through_operator:
        why = f" ({mask.notes[-1]})" if mask.notes else ""
        raise UsageError(
            f"{path}: no pixel is missing and there is no noise: nothing to restore{why}"
        )
