"""Restores damaged images: builds the posterior, solves it, and sums it up in pixels."""

import time
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from paecli.model.model import Model
from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.damage import Damage, check_damage
from paecli.restoration.inflation import measure_inflations
from paecli.restoration.moments import Linearisation, pixel_moments
from paecli.restoration.operators import Operator
from paecli.restoration.pixel_model import GaussianPixels, PixelModel, TabulatedPixels
from paecli.restoration.randomness import image_generator
from paecli.restoration.result import Diagnostics, Mode, Restoration
from paecli.restoration.samplers.kept_draws import KeptDraws
from paecli.restoration.samplers.prior_pool import Obtain, PriorPool, draw_anew
from paecli.restoration.samplers.settle import POPULATIONS
from paecli.restoration.solve import METHODS, Method, Posterior, draws_needed, solve
from paecli.restoration.target import Target
from paecli.system.errors import UsageError


def restore_with(
    model: Model,
    images: Tensor,
    *,
    mask: Tensor | None,
    noise: float | Tensor,
    method: Method,
    samples: int,
    starts: int,
    seed: int,
    blur: float = 0.0,
    downsample: int = 1,
) -> list[Restoration]:
    """Restores a batch of images; see `PAE.restore` for the arguments.

    Raises:
        UsageError: shapes that do not fit, an unknown method, a count below 1, observed
            values that are not finite, or outside [0, 1] without noise, a blur or a down-sampling
            that the model's images cannot have had.
    """
    model.require_flow()
    if method not in METHODS:
        raise UsageError(f"no method {method!r}; choose one of {', '.join(METHODS)}")
    if min(samples, starts) < 1:
        raise UsageError("samples and starts must be at least 1")
    damage = check_damage(
        images,
        mask,
        noise=noise,
        image_shape=model.image_shape,
        blur=blur,
        downsample=downsample,
    )
    data = damage.data.to(model.sigma)
    damage = replace(damage, data=data, observed=damage.observed.to(data.device))
    return restore_images(
        damage,
        space=latent_space(model),
        latent_size=model.latent_size,
        sigma=model.sigma,
        inflation=measured_inflation(model, damage.observed, damage.operator),
        pixels=pixel_model_of(model),
        method=method,
        samples=samples,
        starts=starts,
        seed=seed,
        guesses=encoded_guesses(model, damage),
        obtain=KeptDraws(model).obtain,
    )


def restore_images(
    damage: Damage,
    *,
    space: LatentSpace,
    latent_size: int,
    sigma: Tensor,
    inflation: Tensor,
    pixels: PixelModel,
    method: Method = "auto",
    samples: int = 64,
    starts: int = 64,
    seed: int = 0,
    guesses: Tensor | None = None,
    obtain: Obtain = draw_anew,
) -> list[Restoration]:
    """Restores a batch of images.

    Args:
        damage: the images.
        space: whitened latents, their images and their prior.
        latent_size: `k`.
        sigma: `(c, h, w)` standard deviation of a pixel about its reconstruction.
        inflation: `(n,)` factors on `sigma` squared in the likelihood.
        pixels: distribution of true pixels given decoded ones.
        method: see `paecli.restoration.solve`.
        samples: draws to return as images.
        starts: starting points of the search for modes.
        seed: of everything random.
        guesses: `(n, g, k)` good starting points, or None.
        obtain: see `PriorPool`.
    """
    base_target, plain = (
        build_target(damage, space=space, latent_size=latent_size, sigma=sigma, inflation=factors)
        for factors in (inflation, torch.ones_like(inflation))
    )
    pool = PriorPool(
        space,
        like=base_target.data,
        populations=POPULATIONS,
        seed=seed,
        draws=draws_needed(latent_size),
        obtain=obtain,
    )
    restored = []
    for index in range(len(damage.data)):
        began = time.perf_counter()
        only = torch.tensor([index])
        # an image at a time, with randomness of its own: company must not change its answer
        generator = image_generator(
            seed, data=base_target.data[index], observed=base_target.observed[index]
        )
        posterior = solve(
            base_target.select(only),
            space,
            method=method,
            starts=starts,
            pool=pool,
            generator=generator,
            guesses=None if guesses is None else guesses[only],
        )
        reading = _Reading(damage, plain.select(only), space, posterior, pixels, index, sigma.shape)
        result = reading.restoration(samples, generator)
        restored.append(replace(result, seconds=time.perf_counter() - began))
    return restored


def latent_space(model: Model) -> LatentSpace:
    """Returns the model's whitened latents and their maps."""
    flow = model.require_flow()
    return LatentSpace(
        decode=lambda white: model.autoencoder.decode(flow.unwhiten(white)),
        to_base=flow.white_to_base,
        from_base=flow.base_to_white,
        base=flow.base,
        differentiate=lambda white: model.autoencoder.decode_along(
            flow.unwhiten(white), flow.cholesky.T
        ),
    )


def measured_inflation(model: Model, observed: Tensor, operator: Operator | None = None) -> Tensor:
    """Measures the inflation of each image's mask, `(n,)`; equal masks are measured once."""
    masks, which = torch.unique(observed.flatten(1), dim=0, return_inverse=True)
    factors = measure_inflations(
        model.held_out_errors,
        latent_space(model),
        sigma=model.sigma,
        masks=masks,
        operator=operator,
    )
    return torch.tensor(factors).to(model.sigma)[which]


def pixel_model_of(model: Model) -> PixelModel:
    """Returns the distribution of true pixels about decoded ones, as measured when trained."""
    if not model.held_out_errors.fitted:
        return GaussianPixels(model.sigma.flatten())
    table = model.held_out_errors
    return TabulatedPixels(table.edges, table.quantiles, model.image_shape)


@torch.no_grad()
def encoded_guesses(model: Model, damage: Damage) -> Tensor:
    """Encodes the images with their holes filled by the mean of what is seen: `(n, 1, k)`."""
    seen = damage.observed.flatten(1)
    data = torch.where(damage.observed, damage.data, torch.zeros_like(damage.data))
    average = data.flatten(1).sum(1) / seen.sum(1).clamp_min(1)
    filled = torch.where(damage.observed, data, average.view(-1, 1, 1, 1)).clamp(0, 1)
    if filled.shape[1:] != model.image_shape:
        filled = interpolate(filled, size=model.image_shape[1:])
    # an image at a time: the last digits of a batch depend on who is in it
    alone = [model.require_flow().to_base(model.encode(each[None]))[0] for each in filled]
    return torch.stack(alone).nan_to_num()


def build_target(
    damage: Damage, *, space: LatentSpace, latent_size: int, sigma: Tensor, inflation: Tensor
) -> Target:
    """Builds the posterior over base vectors; arguments as of `restore_images`."""
    data = damage.data.flatten(1)
    observed = damage.observed.flatten(1)
    model_variance = sigma.square()
    if damage.operator is not None:
        model_variance = damage.operator.variance(model_variance)
    scaled = inflation[:, None] * model_variance.flatten()
    variance = scaled + damage.noise_variance.flatten(1).to(scaled)
    return Target(
        generate=space.decode,
        inner=space.from_base,
        differentiate=space.differentiate,
        data=torch.where(observed, data, torch.zeros_like(data)),
        variance=variance,
        observed=observed,
        latent_size=latent_size,
        base=space.base,
        operator=damage.operator,
    )


class _Reading:
    """Sums up the posterior of one image in pixels."""

    def __init__(
        self,
        damage: Damage,
        plain: Target,
        space: LatentSpace,
        posterior: Posterior,
        pixels: PixelModel,
        index: int,
        shape: torch.Size,
    ) -> None:
        self.damage, self.space, self.pixels, self.index = damage, space, pixels, index
        self.base_target, self.latents = plain, space.target(plain)
        self.posterior, self.draws = posterior, posterior.draws
        self.shape = shape

    @torch.no_grad()
    def restoration(self, samples: int, generator: torch.Generator) -> Restoration:
        """Returns the result, without its time."""
        points = self.draws.points
        images = self.latents.images(points)
        mean, std = self._moments(images)
        map_image = self.base_target.images(self.posterior.mixture.only_best().means.to(points))
        chosen = torch.linspace(0, points.shape[1] - 1, min(samples, points.shape[1])).long()
        return Restoration(
            map=self._pasted(map_image[0, 0]),
            mean=self._pasted(mean),
            std=self.damage.erase(std.reshape(self.shape), self.index),
            samples=self._pasted(images[0, chosen]),
            samples_u=self.space.base_vectors(points[:, chosen])[0],
            predictive=self._pasted(self.pixels.draw(images[0], generator)),
            modes=self._modes(points),
            chi2=self.base_target.chi2(map_image).item(),
            degrees_of_freedom=int(self.base_target.observed.sum()),
            diagnostics=self._diagnostics(),
            method=self.posterior.method,
            note=self.posterior.note,
            seconds=0.0,
        )

    def _moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the predictive mean and standard deviation `(p,)` of images `(1, s, p)`."""
        best = self.posterior.latent_mixture.only_best()
        _, jacobian = self.latents.jacobian(best.means.to(images))
        factor = best.factors[:, 0].to(images)
        linear = Linearisation(jacobian[:, 0], factor @ factor.mT)
        mean, spread = pixel_moments(self.pixels.mean(images), self.draws.gradient, linear)
        scatter = self.pixels.variance(images).mean(1)
        return mean[0], (spread + scatter).sqrt()[0]

    def _modes(self, like: Tensor) -> tuple[Mode, ...]:
        means = self.posterior.mixture.means.to(like)
        images = self.base_target.images(means)[0]
        return tuple(
            Mode(means[0, place], self._pasted(images[place]), level.item(), weight.item())
            for place, (level, weight) in enumerate(
                zip(
                    self.posterior.mixture.log_posteriors[0],
                    self.posterior.mixture.weights[0],
                    strict=True,
                )
            )
            if weight > 0
        )

    def _diagnostics(self) -> Diagnostics:
        return Diagnostics(
            pareto_k=_known(self.draws.pareto_k),
            rhat=_known(self.draws.rhat),
            ess=self.draws.ess.item(),
            passed=self.posterior.passed,
            disagreement=_known(self.draws.disagreement),
            evidence_gap=_known(self.draws.evidence_gap),
            ancestors=None if self.draws.ancestors.isnan() else int(self.draws.ancestors),
        )

    def _pasted(self, images: Tensor) -> Tensor:
        return self.damage.paste(images.reshape(*images.shape[:-1], *self.shape), self.index)


def _known(value: Tensor) -> float | None:
    return None if value.isnan().item() else value.item()
