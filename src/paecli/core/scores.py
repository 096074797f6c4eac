"""Scores of how unusual an image is; for every one of them higher means more unusual.

`log_prob` (minus the log density of the latent) and `marginal_likelihood` are the paper's
(arXiv:2006.05479, section 4.2 and appendix), `typicality` follows Nalisnick et al.
(arXiv:1906.02994); `combined` is our own, chosen on corrupted training images only.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log, pi

import torch
from torch import Tensor

from paecli.core.flow import standard_normal_log_prob
from paecli.core.normal_reference import NormalReference
from paecli.core.pae import BATCH, PAE
from paecli.errors import CheckpointError, UsageError
from paecli.progress import NullProgress, Progress

Score = Callable[[PAE, Tensor], Tensor]

SMALLEST = 1e-12  # keeps the logarithm of a perfect reconstruction finite


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
    def cycle_distance(self) -> Tensor:
        """Squared distance, in whitened latents, to the latent of the reconstruction, `(b,)`.

        Normal images return to where they came from; the decoder sends others back to the
        nearest normal ones.
        """
        again = self.model.autoencoder.encode(self.x - self.residual)
        return (self.model.require_flow().whiten(again) - self.white).square().sum(1)

    @cached_property
    def typicality(self) -> Tensor:
        """Distance of `log p(z)` from its mean over normal images, `(b,)` nats."""
        return (self.log_prob - self.reference.features[:, 0].mean()).abs()

    @cached_property
    def local_log_prob(self) -> Tensor:
        """`-log p(z)` minus its mean over the nearest normal images, `(b,)` nats."""
        return self.reference.local_deviation(self.white, self.features)[:, 0]

    @cached_property
    def combined(self) -> Tensor:
        """Soft maximum of several scores, each compared with normal ones, `(b,)`."""
        return self.reference.combine(self.white, self.features)

    @cached_property
    def marginal_likelihood(self) -> Tensor:
        """Minus the Laplace estimate of `log p(x)`, `(b,)` nats; see `negative_log_evidence`."""
        return negative_log_evidence(self)

    @cached_property
    def white(self) -> Tensor:
        """Whitened latents, `(b, latent_size)`."""
        return self.model.require_flow().whiten(self.z)

    @cached_property
    def features(self) -> Tensor:
        """What is compared with the nearest normal images, `(b, 3)`; see `NormalReference`."""
        positive = torch.stack((self.weighted_error, self.cycle_distance), dim=1)
        logarithms = positive.clamp_min(SMALLEST).log()
        return torch.cat((self.log_prob.unsqueeze(1), logarithms), dim=1)

    @property
    def reference(self) -> NormalReference:
        """The model's normal images.

        Raises:
            CheckpointError: the model was not given any.
        """
        if not len(self.model.normal_reference.latents):
            raise CheckpointError(
                "this model has no normal images to compare with; run `pae train-flow` again"
            )
        return self.model.normal_reference


FAST_SCORES = (
    "log_prob",
    "local_log_prob",
    "typicality",
    "reconstruction_error",
    "weighted_error",
    "cycle_distance",
    "combined",
)
SCORE_NAMES = (*FAST_SCORES, "marginal_likelihood")


def measure_scores(
    model: PAE,
    images: Tensor,
    names: Sequence[str],
    *,
    description: str = "scoring images",
    progress: Progress = NullProgress(),
) -> dict[str, Tensor]:
    """Scores images; what several scores need is computed once.

    Args:
        model: a trained model.
        images: `(n, c, h, w)`, uint8 or float in [0, 1].
        names: which of `SCORES`.
        description: what the progress is called.
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
    with progress.task(description, len(images)) as task, torch.no_grad():
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
    decoder_jacobian, flow_jacobian = _decoder_jacobian(evidence), _flow_jacobian(evidence)
    precision = decoder_jacobian.mT @ decoder_jacobian + flow_jacobian.mT @ flow_jacobian
    chi_squared = (evidence.residual / sigma).square().flatten(1).sum(1)
    log_likelihood = -0.5 * (chi_squared + sigma.numel() * log(2 * pi)) - sigma.log().sum()
    volume = 0.5 * (z.shape[1] * log(2 * pi) - torch.linalg.slogdet(precision.double())[1])
    negative: Tensor = evidence.log_prob - log_likelihood - volume
    return negative


def _decoder_jacobian(evidence: Evidence) -> Tensor:
    """Returns the Jacobian of `decode(z) / sigma`: `(b, pixels, latent_size)`."""
    model, z = evidence.model, evidence.z
    directions = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)

    def decode(at: Tensor) -> Tensor:
        return (model.autoencoder.decode(at) / model.sigma).flatten(1)

    with warnings.catch_warnings():
        # forward mode compiles its rules with torch's own deprecated compiler
        warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
        # a loop, since vmap knows no channels-last layers
        columns = [torch.func.jvp(decode, (z,), (row.expand_as(z),))[1] for row in directions]
    return torch.stack(columns, dim=-1)


def _flow_jacobian(evidence: Evidence) -> Tensor:
    """Returns the Jacobian of `to_base(z)`: `(b, latent_size, latent_size)`."""
    flow = evidence.model.require_flow()

    def to_base(at: Tensor) -> Tensor:
        return flow.to_base(at.unsqueeze(0))[0].squeeze(0)

    jacobian: Tensor = torch.func.vmap(torch.func.jacrev(to_base))(evidence.z)
    return jacobian


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
    """Sets `model.normal_reference` and `model.normal_scores`.

    One half of the images is what `typicality`, `local_log_prob` and `combined` compare with;
    the other half is scored, ascending, for p-values.

    Args:
        model: a model with a flow, after `fit_sigma`.
        images: `(n, c, h, w)` held-out images, uint8 or float in [0, 1].
        names: which scores.
    """
    with torch.no_grad():
        parts = [
            (evidence.white, evidence.features)
            for batch in fitting_part(images).split(BATCH)
            for evidence in (Evidence(model, model.as_images(batch)),)
        ]
    latents, features = (torch.cat(column) for column in zip(*parts, strict=True))
    model.normal_reference.fit(latents, features)
    scores = measure_scores(model, calibration_part(images), names)
    model.normal_scores = {name: values.sort().values for name, values in scores.items()}
