"""Scores of how unusual an image is; for every one of them higher means more unusual.

`log_prob` (minus the log density of the latent) and `marginal_likelihood` are the paper's
(arXiv:2006.05479, section 4.2 and appendix), `typicality` follows Nalisnick et al.
(arXiv:1906.02994), `combined` the density of states of Morningstar et al. (arXiv:2006.09273).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log, pi

import torch
from torch import Tensor

from paecli.core.flow import standard_normal_log_prob
from paecli.core.pae import BATCH, PAE
from paecli.errors import UsageError
from paecli.progress import NullProgress, Progress

Score = Callable[[PAE, Tensor], Tensor]

SMALLEST_ERROR = 1e-12  # keeps the logarithm of a perfect reconstruction finite


@dataclass(frozen=True)
class Evidence:
    """What the model makes of one batch of images; each part is computed once, when asked for.

    Attributes:
        model: the trained model.
        x: `(b, c, h, w)` images in [0, 1].
    """

    model: PAE
    x: Tensor

    @cached_property
    def z(self) -> Tensor:
        """Latents, `(b, latent_size)`."""
        return self.model.autoencoder.encode(self.x)

    @cached_property
    def base(self) -> tuple[Tensor, Tensor]:
        """Base vectors `(b, latent_size)` and `log|det du/dz|` `(b,)`."""
        return self.model.require_flow().to_base(self.z)

    @cached_property
    def residual(self) -> Tensor:
        """Images minus their reconstructions, `(b, c, h, w)`."""
        return self.x - self.model.autoencoder.decode(self.z)

    @cached_property
    def log_prob(self) -> Tensor:
        """`-log p(z)`, `(b,)` nats."""
        u, log_determinant = self.base
        return -standard_normal_log_prob(u) - log_determinant

    @cached_property
    def reconstruction_error(self) -> Tensor:
        """Mean squared residual of a pixel, `(b,)`."""
        return self.residual.square().flatten(1).mean(1)

    @cached_property
    def weighted_error(self) -> Tensor:
        """Mean squared residual in units of the pixel noise sigma, `(b,)`; 1 is usual."""
        return (self.residual / self.model.sigma).square().flatten(1).mean(1)

    @cached_property
    def typicality(self) -> Tensor:
        """Distance of `log p(z)` from its mean over normal images, `(b,)` nats."""
        return (self.log_prob - self.model.score_statistics.mean_log_prob).abs()

    @cached_property
    def base_norm(self) -> Tensor:
        """Squared norm of the base vector, `(b,)`; chi-squared for normal images."""
        return self.base[0].square().sum(1)

    @cached_property
    def marginal_likelihood(self) -> Tensor:
        """Minus the Laplace estimate of `log p(x)`, `(b,)` nats; see `negative_log_evidence`."""
        return negative_log_evidence(self)

    @cached_property
    def combined(self) -> Tensor:
        """Squared distance from the usual in the space of the cheap scores, `(b,)`."""
        return self.model.score_statistics.distance(self.features)

    @cached_property
    def features(self) -> Tensor:
        """The scores that `combined` joins, `(b, 3)`; errors as logarithms."""
        errors = torch.stack((self.reconstruction_error, self.weighted_error), dim=1)
        logarithms = errors.clamp_min(SMALLEST_ERROR).log()
        return torch.cat((self.log_prob.unsqueeze(1), logarithms), dim=1)


FAST_SCORES = (
    "log_prob",
    "reconstruction_error",
    "weighted_error",
    "typicality",
    "base_norm",
    "combined",
)
SCORE_NAMES = (*FAST_SCORES, "marginal_likelihood")


def measure_scores(
    model: PAE, images: Tensor, names: Sequence[str], *, progress: Progress = NullProgress()
) -> dict[str, Tensor]:
    """Scores images; what several scores need is computed once.

    Args:
        model: a trained model.
        images: `(n, c, h, w)`, uint8 or float in [0, 1].
        names: which of `SCORES`.
        progress: told of every batch.

    Returns:
        For each name `(n,)` float32 on the CPU, finite, higher = more unusual.

    Raises:
        UsageError: no such score, or the images do not fit the model.
        CheckpointError: the score needs a flow and the model has none.
    """
    names = tuple(dict.fromkeys(names))
    for name in names:
        if name not in SCORE_NAMES:
            raise UsageError(f"no score {name!r}; choose one of {', '.join(SCORE_NAMES)}")
    parts: dict[str, list[Tensor]] = {name: [torch.zeros(0)] for name in names}
    with progress.task("scoring images", len(images)) as task, torch.no_grad():
        for batch in images.split(BATCH) if len(images) else ():
            evidence = Evidence(model, model.as_images(batch))
            for name in names:
                parts[name].append(_finite(getattr(evidence, name)))
            task.advance(len(batch))
    return {name: torch.cat(values) for name, values in parts.items()}


def _finite(values: Tensor) -> Tensor:
    """Takes overflow and NaN, which only images far from all normal ones cause, as highest."""
    highest = torch.finfo(torch.float32).max
    return values.detach().float().cpu().nan_to_num(highest, highest, -highest)


def _one_score(name: str) -> Score:
    def score(model: PAE, images: Tensor) -> Tensor:
        return measure_scores(model, images, [name])[name]

    return score


SCORES: dict[str, Score] = {name: _one_score(name) for name in SCORE_NAMES}


def negative_log_evidence(evidence: Evidence) -> Tensor:
    """Returns minus the Laplace estimate of `log p(x)`: `(b,)` nats.

    The decoder and the flow are taken as linear about the encoder's `z`, so that the integral
    of `N(x; decode(z), sigma^2) p(z)` over `z` has a closed form:
    `log p(x, z) + n/2 log 2 pi - 1/2 log det(J^T J + A^T A)`
    with `J` the Jacobian of `decode(z) / sigma` and `A` that of `u = to_base(z)`.

    Source: arXiv:2006.05479, section 4.2, with the Gauss-Newton Hessian.
    """
    sigma, z = evidence.model.sigma, evidence.z
    autoencoder, flow = evidence.model.autoencoder, evidence.model.require_flow()
    decoder_jacobian = _jacobian(lambda at: (autoencoder.decode(at) / sigma).flatten(1), z)
    flow_jacobian = _jacobian(lambda at: flow.to_base(at)[0], z)
    precision = decoder_jacobian.mT @ decoder_jacobian + flow_jacobian.mT @ flow_jacobian
    chi_squared = (evidence.residual / sigma).square().flatten(1).sum(1)
    log_likelihood = -0.5 * (chi_squared + sigma.numel() * log(2 * pi)) - sigma.log().sum()
    volume = 0.5 * (z.shape[1] * log(2 * pi) - torch.linalg.slogdet(precision.double())[1])
    negative: Tensor = evidence.log_prob - log_likelihood - volume
    return negative


def _jacobian(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """Returns the Jacobian of a row-wise function at `z` `(b, n)`: `(b, outputs, n)`."""
    directions = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    # a loop, since vmap supports neither channels-last layers nor the memory of all at once
    columns = [torch.func.jvp(function, (z,), (row.expand_as(z),))[1] for row in directions]
    return torch.stack(columns, dim=-1)


def fitting_part(images: Tensor) -> Tensor:
    """Returns the half of held-out images from which sigma and the statistics are measured."""
    return images[::2]


def calibration_part(images: Tensor) -> Tensor:
    """Returns the other half: p-values are valid only against images nothing was fitted to."""
    return images[1::2] if len(images) > 1 else images


@torch.no_grad()
def fit_sigma(model: PAE, images: Tensor) -> None:
    """Sets `model.sigma`, the root mean squared residual of each pixel.

    Pixels that are nearly always black reconstruct almost perfectly; they get a floor of one
    grey level of 8-bit images, below which differences are rounding.

    Args:
        model: a trained autoencoder.
        images: `(n, c, h, w)` held-out images, uint8 or float in [0, 1].
    """
    total = torch.zeros_like(model.sigma)
    part = fitting_part(images)
    for batch in part.split(BATCH):
        total += Evidence(model, model.as_images(batch)).residual.square().sum(0)
    model.sigma.copy_((total / max(len(part), 1)).sqrt().clamp_min(1 / 255))


def fit_normal_scores(model: PAE, images: Tensor, names: Sequence[str] = FAST_SCORES) -> None:
    """Sets `model.normal_scores`: how normal images score, ascending.

    One half of the images sets the statistics that `typicality` and `combined` compare with,
    the other half is scored.

    Args:
        model: a model with a flow, after `fit_sigma`.
        images: `(n, c, h, w)` held-out images, uint8 or float in [0, 1].
        names: which scores.
    """
    part = fitting_part(images)
    with torch.no_grad():
        features = [Evidence(model, model.as_images(batch)).features for batch in part.split(BATCH)]
    model.score_statistics.fit(torch.cat(features))
    scores = measure_scores(model, calibration_part(images), names)
    model.normal_scores = {name: values.sort().values for name, values in scores.items()}
