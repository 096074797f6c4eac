"""Score maps of a PAE of whole images: where its reconstruction is wrong."""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from paecli.data.images.pixels import resize, set_channels
from paecli.model.model import Model
from paecli.model.requirements import MAP_PEAK, require_rate
from paecli.outliers.flag_images import FlagReport
from paecli.outliers.ingredients import Ingredients
from paecli.outliers.map_images import ImageMap, map_images
from paecli.system.errors import CheckpointError
from paecli.system.progress import NullProgress, Progress


class ResidualMaps:
    """Scores pixels by their squared residual in units of its usual size, blurred a little.

    Pixels are compared with those of the held-out images that a model keeps to measure its errors,
    peaks with those of all its calibration images, or of the kept ones in older files.
    An image of another size is seen as the model sees it: cropped about the centre, shrunk.
    """

    def __init__(self, model: Model) -> None:
        """Takes a trained model.

        Raises:
            CheckpointError: it keeps no held-out images.
        """
        if not model.held_out_errors.fitted:
            raise CheckpointError(
                "this model keeps no held-out images to compare maps with; "
                "`pae train-flow RUN_FOLDER --measure-only` stores some"
            )
        self.model = model

    @cached_property
    def _reference(self) -> Tensor:
        return self._maps(self.model.held_out_errors.images.float() / 255)

    @cached_property
    def reference_peaks(self) -> Tensor:
        """`(n,)` ascending highest scores of held-out images."""
        if MAP_PEAK in self.model.reference_scores:
            return self.model.reference_scores[MAP_PEAK]
        return self._reference.flatten(1).amax(1).sort().values

    @cached_property
    def reference_pixels(self) -> Tensor:
        """`(m,)` ascending scores of their pixels."""
        return self._reference.flatten().sort().values

    def score_map(self, image: Tensor) -> Tensor:
        """Maps an image `(c, h, w)` in [0, 1] to scores `(h, w)`, 0 outside what the model sees."""
        channels, *size = self.model.image_shape
        seen = resize(set_channels(image, channels), (size[0], size[1]))
        scores = self._maps(seen[None])[None]
        height, width = image.shape[-2:]
        # undoes what `resize` does
        scale = min(height / size[0], width / size[1])
        tall, wide = (max(round(side * scale), 1) for side in size)
        whole = scores.new_zeros(height, width)
        top, left = (height - tall) // 2, (width - wide) // 2
        whole[top : top + tall, left : left + wide] = F.interpolate(
            scores, size=(tall, wide), mode="bilinear", align_corners=False
        )[0, 0]
        return whole

    @torch.no_grad()
    def _maps(self, images: Tensor) -> Tensor:
        """Maps images `(b, c, h, w)` of the model's shape to scores `(b, h, w)`."""
        return Ingredients(self.model, images).residual_map


def with_maps(
    model: Model,
    report: FlagReport,
    *,
    show: Callable[[ImageMap], None],
    progress: Progress = NullProgress(),
) -> FlagReport:
    """Adds to a report where each image is reconstructed wrongly.

    Args:
        model: the model that made the report.
        report: of `flag_images`.
        show: called with the map of every image.
        progress: told of every image.

    Raises:
        CheckpointError: the model keeps no held-out images to compare maps with.
        UsageError: the rate is smaller than these can tell.
    """
    scorer = ResidualMaps(model)
    require_rate(report.fpr, len(scorer.reference_peaks))
    regions = {}
    gone: list[tuple[Path, str]] = []
    paths = [image.path for image in report.images]
    for found in map_images(scorer, paths, rate=report.fpr, unreadable=gone, progress=progress):
        regions[found.path] = found.regions
        show(found)
    for path, reason in gone:  # scored before, gone by now
        progress.say(f"No map of {path}: {reason}")
    images = tuple(replace(image, regions=regions.get(image.path)) for image in report.images)
    return replace(report, images=images)
