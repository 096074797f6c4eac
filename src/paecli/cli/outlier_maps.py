"""`pae ood IMAGES --maps --truth-masks`: where images are unusual, and how well that fits."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paecli.cli.console import RichProgress, say
from paecli.data.images.truth_masks import match_masks, read_truth, unmatched
from paecli.outliers.localisation import Localisation, localise
from paecli.outliers.map_images import ImageMap
from paecli.report.heat_maps import MapFolder
from paecli.system.errors import ImageError


class MapSink:
    """Takes the maps of images one by one: writes them, and compares them with true masks."""

    def __init__(self, images: Sequence[Path], *, folder: Path | None, truth: Path | None) -> None:
        """Takes the image files, where to write heat maps, and the folder of true masks.

        Raises:
            DataError: the masks do not match the images.
        """
        self.folder = MapFolder(folder, images) if folder else None
        self.masks = match_masks(images, truth) if truth else None
        if truth and self.masks and (left := unmatched(self.masks, truth)):
            say(f"{len(left):,} masks of {truth} belong to no image, such as {left[0].name}.")
        self._scores: list[NDArray[np.float32]] = []
        self._truth: list[NDArray[np.bool_]] = []

    def __call__(self, found: ImageMap) -> None:
        """Takes a map."""
        if self.masks is not None:
            self._compare(found, self.masks.get(found.path))
        if self.folder is not None:
            self.folder.write(found)

    def _compare(self, found: ImageMap, mask: Path | None) -> None:
        height, width = found.scores.shape
        try:
            truth = read_truth(mask, size=(height, width), progress=RichProgress())
        except ImageError as error:  # one mask is no reason to lose the others
            say(f"Not compared with its mask: {error}")
            return
        self._truth.append(truth.numpy())
        self._scores.append(found.scores.numpy())

    def close(self) -> dict[str, Any]:
        """Writes what is left and says what was found; returns the fields for JSON."""
        if self.folder is not None:
            self.folder.close()
            say(f"Heat maps, their scale and a table of regions: {self.folder.folder}")
        if self.masks is None:
            return {}
        result = localise(self._scores, self._truth)
        say(_sentence(result))
        return {"localisation": asdict(result)}


def _sentence(result: Localisation) -> str:
    return (
        f"Against the masks of {result.defective:,} images ({result.defects:,} defects), "
        f"{result.images - result.defective:,} others taken as good: pixel AUROC "
        f"{result.pixel_auroc:.4f}, AUPRO {result.aupro:.4f}, best IoU {result.best_iou:.4f} "
        f"(scores above {result.best_threshold:.3g})"
    )
