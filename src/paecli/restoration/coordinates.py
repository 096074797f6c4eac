"""The coordinates that draws are made in: whitened latents rather than base vectors.

Both describe the same posterior. In base space its prior is a plain one, but a trained
flow bends and stretches that space so much that the likelihood is rough there: on held-out
Fashion-MNIST images the log density of the posterior differs from that of its Laplace mixture
by a standard deviation of 100 nats in base space, and of 4 in whitened latents.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from paecli.model.base_distribution import Base
from paecli.model.map_jacobian import map_jacobian
from paecli.restoration.mixture import Mixture
from paecli.restoration.target import Differentiate, Generate, Target


@dataclass(frozen=True)
class LatentSpace:
    """Whitened latents `w` and their maps; all take and return batches `(b, k)`.

    Attributes:
        decode: `w` to images `(b, c, h, w)`; differentiable.
        to_base: `w` to base vectors and `log|det du/dw|` `(b,)`; differentiable.
        from_base: its inverse.
        base: distribution of base vectors.
        differentiate: `w` to images and their derivatives by each latent, `(b, k, c, h, w)`;
            None: by torch's forward mode.
    """

    decode: Generate
    to_base: Callable[[Tensor], tuple[Tensor, Tensor]]
    from_base: Callable[[Tensor], Tensor]
    base: Base
    differentiate: Differentiate | None = None

    def log_prob(self, w: Tensor) -> Tensor:
        """Returns the flow's log density of whitened latents: `(b,)` in nats."""
        u, log_determinant = self.to_base(w)
        return self.base.log_prob(u) + log_determinant

    def target(self, base_target: Target) -> Target:
        """Returns the posterior `base_target`, given over base vectors, over whitened latents."""
        return replace(base_target, generate=self.decode, inner=None, log_prior=self.log_prob)

    def push_forward(self, base_target: Target, mixture: Mixture) -> Mixture:
        """Maps a mixture over base vectors to whitened latents, linearised at each mean."""
        at = mixture.means.to(base_target.data)
        means, jacobian = map_jacobian(self.from_base, at.flatten(0, 1))
        spread = jacobian.mT.double().view(mixture.factors.shape) @ mixture.factors
        factors = torch.linalg.cholesky(spread @ spread.mT)
        return replace(mixture, means=means.double().view(at.shape), factors=factors)

    @torch.no_grad()
    def base_vectors(self, w: Tensor) -> Tensor:
        """Maps points `(n, s, k)` to base vectors of the same shape."""
        return self.to_base(w.flatten(0, 1))[0].view(w.shape)
