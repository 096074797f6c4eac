"""Find: how unusual images in memory are, and where; the figures are those of `pae ood`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from paecli.data.images.files import read_image
from paecli.data.images.opening import MemoryFile
from paecli.data.images.photographs import read_photograph
from paecli.model.model import Model
from paecli.model.patches.model import PatchPAE, enlarge, image_score
from paecli.model.requirements import DEFAULT_SCORE, PATCH_SCORE
from paecli.outliers.conformal import p_values
from paecli.outliers.map_images import ImageMap, MapScorer, locate
from paecli.outliers.residual_maps import ResidualMaps
from paecli.outliers.scores import measure_scores
from paecli.system.errors import PaeError

LONGEST_SIDE = 320  # pixels of a map on the page


@dataclass(frozen=True, eq=False)
class Found:
    """One image.

    Attributes:
        p_value: share of reference images that are at least as unusual.
        score: what it is made of, higher = more unusual.
        map: where, at the size of the page; None where the model cannot tell.
        ranks: `(h, w)` int64: how many of the maps of reference images, plus one, have a
            pixel at least as unusual. A pixel lies in a region at a rate `r` if its rank is at
            most `r (n + 1)`, with `n` reference images.
    """

    p_value: float
    score: float
    map: ImageMap | None
    ranks: Tensor | None


class Finder:
    """Scores images by a model of either kind.

    Attributes:
        score: the name of the score that p-values are made of.
        reference_count: reference images behind p-values.
        peak_count: reference images behind regions; 0 where there are no maps.
    """

    def __init__(self, model: Model | PatchPAE) -> None:
        """Takes a model with reference scores.

        Raises:
            CheckpointError: it has none.
        """
        self._model = model
        self._maps: MapScorer | None
        if isinstance(model, PatchPAE):
            self.score, self._reference = PATCH_SCORE, model.reference_tops
            self._maps = model
        else:
            self.score = DEFAULT_SCORE
            self._reference = model.require_reference_scores(DEFAULT_SCORE)
            self._maps = ResidualMaps(model) if model.held_out_errors.fitted else None
        self.reference_count = len(self._reference)
        self.peak_count = len(self._maps.reference_peaks) if self._maps else 0

    def find(self, files: Sequence[MemoryFile]) -> list[Found | PaeError]:
        """Scores images; what cannot be read gives its error in their place."""
        return [self._try(file) for file in files]

    def _try(self, file: MemoryFile) -> Found | PaeError:
        try:
            return self._find(file)
        except PaeError as error:
            return error

    def _find(self, file: MemoryFile) -> Found:
        if isinstance(self._model, PatchPAE):
            return self._find_in_patches(self._model, file)
        pixels = read_image(file, image_shape=self._model.image_shape).pixels
        score = measure_scores(self._model, pixels[None], [self.score])[self.score].item()
        if self._maps is None:
            return self._found(score, None)
        image = shrink(read_photograph(file))
        return self._found(score, self._locate(file, image, self._maps.score_map(image)))

    def _find_in_patches(self, model: PatchPAE, file: MemoryFile) -> Found:
        photograph = read_photograph(file)
        cells = model.compare(model.score_cells(photograph))
        image = shrink(photograph)
        scores = enlarge(cells, (image.shape[-2], image.shape[-1]))
        return self._found(image_score(cells), self._locate(file, image, scores))

    def _locate(self, file: MemoryFile, image: Tensor, scores: Tensor) -> ImageMap:
        assert self._maps is not None
        found = locate(self._maps, Path(str(file)), image, scores, rate=0.0)
        return replace(found, inside=torch.zeros_like(found.inside))  # the page outlines

    def _found(self, score: float, found: ImageMap | None) -> Found:
        own = torch.tensor([score], dtype=self._reference.dtype)
        chance = p_values(own, self._reference).item()
        if found is None or self._maps is None:
            return Found(chance, score, None, None)
        peaks = self._maps.reference_peaks
        chances = p_values(found.scores.flatten().to(peaks), peaks).view(found.scores.shape)
        return Found(chance, score, found, (chances * (len(peaks) + 1)).round().long())


def shrink(image: Tensor) -> Tensor:
    """Brings an image `(c, h, w)` to at most `LONGEST_SIDE` pixels a side."""
    height, width = image.shape[-2:]
    scale = LONGEST_SIDE / max(height, width)
    if scale >= 1:
        return image
    size = [max(round(side * scale), 1) for side in (height, width)]
    return F.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0].clamp(0, 1)
