"""The best mode and Laplace spread of many images at once, in seconds: one climb from the encoder.

It is what held-out images are restored by, to compare an image with them. Its modes can be lower
than those that the methods of `paecli.restoration.solve` find.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from paecli.model.model import Model
from paecli.restoration.damage import Damage
from paecli.restoration.modes import cholesky_of_inverse, climb, gauss_newton
from paecli.restoration.restore import (
    build_target,
    encoded_guesses,
    latent_space,
    pixel_model_of,
)
from paecli.restoration.target import Target

TOGETHER = 2**16  # values of the images that are fitted at once; bounds the memory


@dataclass(frozen=True)
class QuickFit:
    """Fits of `n` images.

    Attributes:
        energy: `(n,)` minus the log posterior density at the mode, in nats: how badly the model
            fits what is observed, and how unlikely such a latent is.
        mean: `(n, c, h, w)` mean of the true image there; None where not asked for.
        std: `(n, c, h, w)` its standard deviation, by Laplace's approximation; likewise.
    """

    energy: Tensor
    mean: Tensor | None = None
    std: Tensor | None = None


def fit_quickly(
    model: Model, damage: Damage, inflation: Tensor, *, spread: bool = False
) -> QuickFit:
    """Fits images that share a mask.

    Args:
        model: with both stages trained.
        damage: the images; what is observed is the same for all.
        inflation: `(1,)` of that mask, see `paecli.restoration.inflation`.
        spread: whether mean and standard deviation are asked for, which takes a Jacobian.
    """
    images = max(1, TOGETHER // damage.data[0].numel())
    fits = [
        _fit(model, _part(damage, slice(begin, begin + images)), inflation, spread=spread)
        for begin in range(0, len(damage.data), images)
    ]
    if not spread:
        return QuickFit(torch.cat([fit.energy for fit in fits]))
    means = [fit.mean for fit in fits if fit.mean is not None]
    stds = [fit.std for fit in fits if fit.std is not None]
    return QuickFit(torch.cat([fit.energy for fit in fits]), torch.cat(means), torch.cat(stds))


def _part(damage: Damage, which: slice) -> Damage:
    noise = damage.noise
    if isinstance(noise, Tensor):
        noise = noise.expand(damage.data.shape)[which]
    return replace(damage, data=damage.data[which], observed=damage.observed[which], noise=noise)


def _fit(model: Model, damage: Damage, inflation: Tensor, *, spread: bool) -> QuickFit:
    target = build_target(
        damage,
        space=latent_space(model),
        latent_size=model.latent_size,
        sigma=model.sigma,
        inflation=inflation.expand(len(damage.data)),
    )
    u = climb(target, encoded_guesses(model, damage))
    with torch.no_grad():
        energy = -target.log_prob(u)[:, 0]
    if not spread:
        return QuickFit(energy)
    mean, variance = _moments(model, target, u)
    shape = (len(u), *model.image_shape)
    return QuickFit(energy, mean.view(shape), variance.sqrt().view(shape))


@torch.no_grad()
def _moments(model: Model, target: Target, u: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and variance of true pixels `(n, p)` about modes `(n, 1, k)`."""
    pixels = pixel_model_of(model)
    images, jacobian = target.jacobian(u)
    factors = cholesky_of_inverse(gauss_newton(target, u)[0])[:, 0].to(jacobian)
    latent_variance = (factors.mT @ jacobian[:, 0]).square().sum(1)
    return pixels.mean(images)[:, 0], latent_variance + pixels.variance(images)[:, 0]
