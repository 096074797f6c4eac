"""What the model makes of images: every quantity that the scores are made of.

Of the scores `log_prob` (minus the log density of the latent) and `marginal_likelihood` are the
paper's (arXiv:2006.05479, section 4.2 and appendix), `typicality` follows Nalisnick et al.
(arXiv:1906.02994); `combined` is our own, chosen on corrupted held-out images only.
"""

from dataclasses import dataclass
from functools import cached_property
from math import log

import torch
from torch import Tensor
from torch.nn import functional as F

from paecli.model.model import Model
from paecli.model.reference_images import ReferenceImages
from paecli.outliers.marginal_likelihood import negative_log_marginal_likelihood
from paecli.system.errors import CheckpointError

HIGHLIGHTS = 0.99  # share of the pixels that are darker
DARKEST = 1e-3
FLAT = 1e-6  # mean square difference of neighbouring pixels below which there is no direction
COARSE = 4  # pixels a side over which residuals must go together to be seen
SPOT, PATCH = 3, 9  # pixels a side of the places whose error is looked at
SMALLEST = 1e-12  # keeps the logarithm of a perfect reconstruction finite
SMOOTHING = 1.0  # standard deviation in pixels of the blur of residual maps
REACH = 3  # standard deviations at which the blur ends
TURNS = 3  # ways in which `orientation` turns an image


@dataclass(frozen=True)
class Ingredients:
    """What the model makes of one batch of images; each part is computed once, when asked for.

    Attributes:
        model: the trained model.
        x: `(b, c, h, w)` images in [0, 1].
        known_z: their latents, `(b, latent_size)`, where they were encoded before.
    """

    model: Model
    x: Tensor
    known_z: Tensor | None = None

    @cached_property
    def z(self) -> Tensor:
        """Latents, `(b, latent_size)`."""
        return self.model.autoencoder.encode(self.x) if self.known_z is None else self.known_z

    @cached_property
    def _in_base(self) -> tuple[Tensor, Tensor]:
        """Base vectors `(b, latent_size)` and `log|det du/dz|` `(b,)`."""
        return self.model.require_flow().to_base(self.z)

    @cached_property
    def residual(self) -> Tensor:
        """Images minus their reconstructions, `(b, c, h, w)`."""
        return self.x - self.model.autoencoder.decode(self.z)

    @cached_property
    def negative_log_prob(self) -> Tensor:
        """`-log p(z)`, `(b,)` nats."""
        u, log_determinant = self._in_base
        return -self.model.require_flow().base.log_prob(u) - log_determinant

    @cached_property
    def reconstruction_error(self) -> Tensor:
        """Mean squared residual of a pixel, `(b,)`."""
        return self.residual.square().flatten(1).mean(1)

    @cached_property
    def weighted_error(self) -> Tensor:
        """Mean squared residual in units of the pixel noise sigma, `(b,)`; 1 is usual."""
        return (self.residual / self.model.sigma).square().flatten(1).mean(1)

    @cached_property
    def residual_map(self) -> Tensor:
        """Where images are reconstructed wrongly, `(b, h, w)`.

        Squared residuals in units of the pixel noise, blurred a little: single pixels err by
        chance.
        """
        square = (self.residual / self.model.sigma).square().mean(1, keepdim=True)
        return _blur(square)[:, 0]

    @cached_property
    def map_peak(self) -> Tensor:
        """The highest value of the residual map, `(b,)`; see `paecli.outliers.residual_maps`."""
        return self.residual_map.flatten(1).amax(1)

    @cached_property
    def cycle_distance(self) -> Tensor:
        """Squared distance, in whitened latents, to the latent of the reconstruction, `(b,)`.

        Reference images return to where they came from; the decoder sends others back to the
        nearest reference ones.
        """
        again = self.model.autoencoder.encode(self.x - self.residual)
        return (self.model.require_flow().whiten(again) - self.white).square().sum(1)

    @cached_property
    def typicality(self) -> Tensor:
        """Distance of `log p(z)` from its mean over reference images, `(b,)` nats."""
        return (self.negative_log_prob - self.reference.statistics[0, 0]).abs()

    @cached_property
    def negative_local_log_prob(self) -> Tensor:
        """`-log p(z)` minus its mean over the nearest reference images, `(b,)` nats."""
        return self.components[:, 1]

    @cached_property
    def nearest_distance(self) -> Tensor:
        """Distance, in whitened latents, to the nearest reference image, `(b,)`."""
        return self.components[:, -1].exp()

    @cached_property
    def combined(self) -> Tensor:
        """The loudest of several voices, `(b,)`; see `paecli.model.voices`.

        A model that was measured before there were voices has the first of them alone.
        """
        if not self.model.voices.fitted:
            return self.neighbours
        return self.model.voices.speak(self.neighbours, self.statements).amax(1)

    @cached_property
    def loudest(self) -> list[str]:
        """The part of `combined` that made each image's score; see `Voices.name_loudest`."""
        return self.model.voices.name_loudest(self.neighbours, self.statements)

    @cached_property
    def neighbours(self) -> Tensor:
        """Soft maximum of scores that are compared with those of the nearest images, `(b,)`."""
        return self.reference.combine(self.components)

    @cached_property
    def statements(self) -> Tensor:
        """What the voices are made of, `(b, statements)`, as `paecli.model.voices.STATEMENTS`."""
        density, local_density, local_error, cycle, _ = self.components.unbind(1)
        weighted = self.residual / self.model.sigma
        square = weighted.square().mean(1, keepdim=True)
        shape = self.model.image_shape  # of tensors sizes are no plain numbers while exporting
        error, brightness, detail, grain, coarse, peak, lighter, darker, spot, patch = (
            values.clamp_min(SMALLEST).log()
            for values in (
                self.reconstruction_error,
                _mean_square(self.x),
                _roughness(self.x),
                _roughness(weighted),
                _mean_square(F.avg_pool2d(weighted, _sides(shape, COARSE))),
                self.residual.square().flatten(1).amax(1),
                _mean_square(weighted.clamp_min(0)),
                _mean_square(weighted.clamp_max(0)),
                *(
                    F.avg_pool2d(square, _sides(shape, side), stride=1).flatten(1).amax(1)
                    for side in (SPOT, PATCH)
                ),
            )
        )
        pixels = self.x.flatten(1)
        bright = pixels.kthvalue(int(HIGHLIGHTS * pixels.shape[1]) + 1, dim=1).values
        highlights = bright.clamp_min(DARKEST).log()
        columns = (density, local_density, local_error, cycle, grain, error, brightness, detail)
        places = (_direction(self.x, shape), *_centre(self.x, shape), spot, patch)
        more = (detail - brightness, highlights, coarse, peak, lighter - darker, *places)
        return torch.stack((*columns, *more), dim=1)

    @cached_property
    def orientation(self) -> Tensor:
        """Log ratio of the density of the image turned to that of the image as it is, `(b,)` nats.

        The image is mirrored left to right, upside down and both; `log mean p(turned) - log p`.
        A likelihood ratio (Ren et al., arXiv:1906.02845) with the model itself as background:
        whatever turning leaves alone, such as how complex the image is, cancels.
        """
        turned = torch.cat((self.x.flip(-1), self.x.flip(-2), self.x.flip(-1, -2)))
        density = Ingredients(self.model, turned).negative_log_prob.unflatten(0, (TURNS, -1))
        return torch.logsumexp(-density, dim=0) - log(TURNS) + self.negative_log_prob

    @cached_property
    def negative_log_marginal_likelihood(self) -> Tensor:
        """Minus the Laplace estimate of `log p(x)`, `(b,)` nats."""
        return negative_log_marginal_likelihood(
            self.model,
            z=self.z,
            u=self._in_base[0],
            residual=self.residual,
            log_prob=-self.negative_log_prob,
        )

    @cached_property
    def white(self) -> Tensor:
        """Whitened latents, `(b, latent_size)`."""
        return self.model.require_flow().whiten(self.z)

    @cached_property
    def features(self) -> Tensor:
        """What is compared with the nearest reference images, `(b, 3)`; see `ReferenceImages`."""
        positive = torch.stack((self.weighted_error, self.cycle_distance), dim=1)
        logarithms = positive.clamp_min(SMALLEST).log()
        return torch.cat((self.negative_log_prob.unsqueeze(1), logarithms), dim=1)

    @cached_property
    def components(self) -> Tensor:
        """The features compared with the nearest reference images, `(b, 5)`."""
        return self.reference.compare(self.white, self.features)

    @property
    def reference(self) -> ReferenceImages:
        """The model's reference images.

        Raises:
            CheckpointError: the model was not given any.
        """
        if not len(self.model.reference_images.latents):
            raise CheckpointError(
                "this model has no reference images to compare with; "
                "run `pae train-flow RUN_FOLDER --measure-only`"
            )
        return self.model.reference_images


def _sides(shape: tuple[int, int, int], side: int) -> tuple[int, int]:
    """Returns the sides of a square window, shorter where images of this shape are."""
    return min(side, shape[1]), min(side, shape[2])


def _mean_square(values: Tensor) -> Tensor:
    """Returns the mean square of `(b, c, h, w)`: `(b,)`."""
    return values.square().flatten(1).mean(1)


def _direction(x: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Returns how much more images `(b, c, h, w)` change across than down, `(b,)`, a logarithm.

    Images of a single row or column have no direction: 0.
    """
    if min(shape[1:]) == 1:
        return x.flatten(1).mean(1) * 0
    across = _mean_square(x[..., 1:] - x[..., :-1])
    down = _mean_square(x[..., 1:, :] - x[..., :-1, :])
    return across.clamp_min(FLAT).log() - down.clamp_min(FLAT).log()


def _centre(x: Tensor, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Returns where the light of images `(b, c, h, w)` has its centre, each `(b,)` in [-1, 1]."""
    light = x.mean(1)
    total = light.sum((1, 2)).clamp_min(DARKEST)
    rows, columns = (torch.linspace(-1, 1, side).to(x) for side in shape[1:])
    across = (light.sum(1) * columns).sum(1) / total
    return across, (light.sum(2) * rows).sum(1) / total


def _roughness(values: Tensor) -> Tensor:
    """Returns the mean square of the discrete Laplacian of `(b, c, h, w)`: `(b,)`."""
    padded = F.pad(values, (1, 1, 1, 1), mode="replicate")
    inner = padded[..., 1:-1, 1:-1]
    beside = padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    above = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
    return (beside + above - 4 * inner).square().flatten(1).mean(1)


def _blur(values: Tensor) -> Tensor:
    """Blurs maps `(b, 1, h, w)` by a Gaussian."""
    reach = int(REACH * SMOOTHING)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / SMOOTHING).square())
    kernel = (kernel / kernel.sum()).to(values)
    padded = F.pad(values, (reach,) * 4, mode="replicate")
    blurred = F.conv2d(padded, kernel.view(1, 1, -1, 1))
    return F.conv2d(blurred, kernel.view(1, 1, 1, -1))
