"""The PAE of patches: features, a linear autoencoder of them, and a flow over its latents."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paecli.model.flow import LatentFlow
from paecli.model.patches.autoencoder import PatchAutoencoder
from paecli.model.patches.discriminator import Discriminator
from paecli.model.patches.features import STRIDE, PatchFeatures
from paecli.model.requirements import PATCH_SCORE
from paecli.system.errors import CheckpointError, UsageError

RINGS = 3  # cells at the border, next to it, and all others
PATCHES_AT_ONCE = 4096
TOP, PEAK, PIXEL = PATCH_SCORE, "peak", "pixel"  # names of the reference scores
MOST_UNUSUAL = 5  # patches whose mean score is the image's: a defect covers more than one
HIGHEST = 1e30  # stands for infinity; sums of a few stay finite


@dataclass(frozen=True, eq=False)
class PatchScores:
    """What the parts of a model say of the patches of an image, maps `(h', w')`.

    Attributes:
        surprise: minus the log density of the latents, in nats.
        energy: of what the autoencoder left out, in nats.
        log_odds: that a patch holds a defect; None without a discriminator.
    """

    surprise: Tensor
    energy: Tensor
    log_odds: Tensor | None = None


class PatchPAE(nn.Module):
    """A trained PAE whose data are patches of feature maps.

    The score of a patch is minus the log density of all its features, up to a constant: the
    flow's for the latents, a Gaussian's for what the autoencoder leaves out. Patches at the
    border of an image hold its margins and the network's padding, and score higher; so scores
    are compared with those of training patches as far from the border. The log odds of a
    discriminator that has seen painted defects are added, where there is one. A map is the scores
    of an image's patches, brought to the image's own size. The score of an image is the mean of
    its five most unusual patches.

    Attributes:
        features: what turns images into maps of vectors.
        autoencoder: stage 1.
        flow: stage 2, or None when only stage 1 is trained.
        discriminator: the part of stage 2 that tells painted defects from good patches; None in
            models of before.
        area: pixels that an image is scaled to have, whatever its aspect ratio.
        usual: `(2, 3)` median of training patches' scores by their distance from the border (0,
            1, or more cells), and by how much their 95th percentile lies above it.
        reference_scores: `top`: `(n,)` ascending scores of held-out images; `peak`: `(n,)`
            ascending peaks of their maps; `pixel`: `(m,)` ascending scores of pixels of these maps.
    """

    usual: Tensor

    def __init__(
        self,
        features: PatchFeatures,
        autoencoder: PatchAutoencoder,
        flow: LatentFlow | None = None,
        *,
        area: int,
    ) -> None:
        """Joins the stages; the reference scores are set after training."""
        super().__init__()
        self.features = features
        self.autoencoder = autoencoder
        self.flow = flow
        self.discriminator: Discriminator | None = None
        self.area = area
        self.register_buffer("usual", torch.stack((torch.zeros(RINGS), torch.ones(RINGS))))
        self.reference_scores: dict[str, Tensor] = {}

    def require_flow(self) -> LatentFlow:
        """Returns the flow.

        Raises:
            CheckpointError: only stage 1 is trained.
        """
        if self.flow is None:
            raise CheckpointError(
                "this model has no flow yet; train it with `pae train-flow RUN_FOLDER`"
            )
        return self.flow

    @property
    def reference_tops(self) -> Tensor:
        """Ascending scores of held-out reference images, `(n,)`."""
        self.require_flow()
        return self.reference_scores[TOP]

    @property
    def reference_peaks(self) -> Tensor:
        """Ascending peaks of the maps of held-out reference images, `(n,)`."""
        self.require_flow()
        return self.reference_scores[PEAK]

    @property
    def reference_pixels(self) -> Tensor:
        """Ascending scores of pixels of these maps, `(m,)`."""
        self.require_flow()
        return self.reference_scores[PIXEL]

    def feature_map(self, image: Tensor) -> Tensor:
        """Maps an image `(c, h, w)`, uint8 or float in [0, 1], to features `(size, h', w')`."""
        return self.features(fit_area(as_float(image)[None], self.area))[0]

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """Maps an image `(c, h, w)` to the latents of its patches, `(h', w', latent_size)`."""
        features = self.feature_map(image)
        z = self.autoencoder.encode(features.flatten(1).T)
        return z.view(*features.shape[1:], -1)

    def score_cells(self, image: Tensor) -> PatchScores:
        """Scores the patches of an image `(c, h, w)`, see `score_features`."""
        return self.score_features(self.feature_map(image))

    @torch.no_grad()
    def score_features(self, features: Tensor) -> PatchScores:
        """Scores the patches of a map of features `(size, h', w')` by each part of the model."""
        grid, flow = features.shape[1:], self.require_flow()
        surprise, energy, odds = [], [], []
        for part in features.flatten(1).T.split(PATCHES_AT_ONCE):
            z, left_out = self.autoencoder.project(part)
            surprise.append(-flow.log_prob(z))
            energy.append(self.autoencoder.residual_energy(left_out))
            if self.discriminator is not None:
                odds.append(self.discriminator(part))
        return PatchScores(
            torch.cat(surprise).view(grid),
            torch.cat(energy).view(grid),
            torch.cat(odds).view(grid) if odds else None,
        )

    def compare(self, scores: PatchScores) -> Tensor:
        """Joins the parts of `score_cells` to one score of each patch, `(h', w')`.

        It is higher the more unusual a patch is. The density is compared with that of training
        patches: 0 is their median, 1 their 95th percentile. Without a discriminator this is the
        score; else it is `log(1 + density) + weight * log odds`: energies grow without bound, and
        their logarithm is on the scale of log odds.
        """
        density, ring = finite(scores.surprise + scores.energy), rings(scores.surprise.shape)
        median, spread = self.usual
        compared: Tensor = (density - median[ring]) / spread[ring]
        if self.discriminator is None or scores.log_odds is None:
            return compared
        return compared.clamp_min(0).log1p() + self.discriminator.weight * scores.log_odds

    def score_map(self, image: Tensor) -> Tensor:
        """Maps an image `(c, h, w)` to a score for each of its pixels, `(h, w)`."""
        return enlarge(self.compare(self.score_cells(image)), (image.shape[-2], image.shape[-1]))

    @torch.no_grad()
    def fit_usual(self, scores: Tensor, ring: Tensor) -> None:
        """Sets what scores are compared with.

        Args:
            scores: `(n,)` surprise plus energy of training patches.
            ring: `(n,)` their rings.
        """
        for number in range(RINGS):
            # tiny images have no inner ring: the nearest one that they have stands in
            own = scores[ring == min(number, int(ring.max()))]
            median, high = own.quantile(0.5), own.quantile(0.95)
            self.usual[:, number] = torch.stack((median, (high - median).clamp_min(1e-6)))


def as_float(image: Tensor) -> Tensor:
    """Returns an image as float32 in [0, 1].

    Raises:
        UsageError: it is not `(1 or 3, h, w)`, or its values lie outside [0, 1].
    """
    if image.ndim != 3 or len(image) not in (1, 3):
        raise UsageError(f"an image has shape {tuple(image.shape)}; give (1 or 3, height, width)")
    if image.dtype == torch.uint8:
        return image.float() / 255
    if not (image.min() >= 0 and image.max() <= 1):
        raise UsageError("image values lie outside [0, 1] or are NaN; divide 8-bit ones by 255")
    return image.float()


def fit_area(images: Tensor, area: int) -> Tensor:
    """Scales images `(b, c, h, w)` to about `area` pixels; sides become multiples of 16.

    The aspect ratio is kept to within the rounding, and nothing is cropped.
    """
    height, width = images.shape[-2:]
    factor = (area / (height * width)) ** 0.5
    size = tuple(max(round(side * factor / STRIDE), 2) * STRIDE for side in (height, width))
    if size == (height, width):
        return images
    return F.interpolate(images, size=size, mode="bilinear", antialias=True)


def rings(grid: tuple[int, ...]) -> Tensor:
    """Returns for each cell of a grid `(h, w)` its distance from the border in cells, up to 2."""
    distances = []
    for length in grid:
        steps = torch.arange(length)
        distances.append(torch.minimum(steps, length - 1 - steps))
    return torch.minimum(distances[0][:, None], distances[1]).clamp_max(RINGS - 1)


def image_score(cells: Tensor) -> float:
    """Returns the score of an image from those of its patches `(h', w')`."""
    return cells.flatten().topk(min(MOST_UNUSUAL, cells.numel())).values.mean().item()


def enlarge(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Brings a map `(h, w)` to another size by bilinear interpolation."""
    return F.interpolate(values[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def finite(values: Tensor) -> Tensor:
    """Takes overflow and NaN, which only patches far from all others cause, as very high."""
    return values.nan_to_num(HIGHEST, HIGHEST, -HIGHEST).clamp(-HIGHEST, HIGHEST)
