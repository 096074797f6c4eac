"""Jacobians of maps between latent spaces, that is of flows."""

from collections.abc import Callable

import torch
from torch import Tensor


@torch.enable_grad()
def map_jacobian(inner: Callable[[Tensor], Tensor], u: Tensor) -> tuple[Tensor, Tensor]:
    """Returns `v = inner(u)` and `d v / d u`, for maps from `(m, k)` to `(m, k)` points.

    By reverse mode, a row for each latent: flows are many small steps, which forward mode under
    `vmap` takes ten times as long for.

    Returns:
        `(m, k)`, and `(m, k, k)` with the latents of `u` first.
    """
    m, k = u.shape
    rows = u.detach().repeat_interleave(k, 0).requires_grad_(True)
    values = inner(rows)
    latents = torch.arange(k, device=u.device).repeat(m)
    own = values.gather(1, latents[:, None])
    (gradient,) = torch.autograd.grad(own.sum(), rows)
    return values.detach()[::k], gradient.view(m, k, k).mT
