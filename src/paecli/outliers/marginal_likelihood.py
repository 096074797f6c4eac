"""The paper's estimate of `log p(x)`: Laplace, with the decoder's and the flow's Jacobians."""

from math import log, pi

import torch
from torch import Tensor

from paecli.model.map_jacobian import map_jacobian
from paecli.model.model import Model

JACOBIAN_BYTES = 32 << 20  # of the decoder's Jacobians that are in memory together


def negative_log_marginal_likelihood(
    model: Model, *, z: Tensor, u: Tensor, residual: Tensor, log_prob: Tensor
) -> Tensor:
    """Returns minus the Laplace estimate of `log p(x)`: `(b,)` nats.

    The decoder and the flow are taken as linear about the encoder's `z`, so that the integral
    of `N(x; decode(z), sigma^2) p(z)` over `z` has a closed form:
    `log p(x, z) + n/2 log 2 pi - 1/2 log det(J^T J + A^T P A)`
    with `J` the Jacobian of `decode(z) / sigma`, `A` that of `u = to_base(z)` and `P` the
    precision of the base, the identity for N(0, I).

    Args:
        model: a model with a flow.
        z: `(b, latent_size)` latents of the images.
        u: `(b, latent_size)` their base vectors.
        residual: `(b, c, h, w)` images minus their reconstructions.
        log_prob: `(b,)` log density of the latents in nats.

    Source: arXiv:2006.05479, section 4.2, with the Gauss-Newton Hessian.
    """
    sigma = model.sigma
    flow = model.require_flow()
    _, along = map_jacobian(lambda at: flow.to_base(at)[0], z)  # latents first
    precision = along @ flow.base.precision(u) @ along.mT
    precision = precision + _decoder_precision(model, z)
    chi_squared = (residual / sigma).square().flatten(1).sum(1)
    log_likelihood = -0.5 * (chi_squared + sigma.numel() * log(2 * pi)) - sigma.log().sum()
    volume = 0.5 * (z.shape[1] * log(2 * pi) - torch.linalg.slogdet(precision.double())[1])
    negative: Tensor = -log_prob - log_likelihood - volume
    return negative


def _decoder_precision(model: Model, z: Tensor) -> Tensor:
    """Returns `J^T J` of the decoder's Jacobians `J`: `(b, latent_size, latent_size)`."""
    one = model.sigma.numel() * z.shape[1] * z.element_size()
    directions = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    parts = []
    for few in z.split(max(1, JACOBIAN_BYTES // one)):
        _, changes = model.autoencoder.decode_along(few, directions)
        jacobian = (changes / model.sigma).flatten(2)
        parts.append(jacobian @ jacobian.mT)
    return torch.cat(parts)
