"""Stage 2: the normalizing flow over latents, `z <-> u`, with a simple distribution of `u`."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from paecli.model.base_distribution import build_base
from paecli.model.couplings import LinearLU, Permute, SplineCoupling
from paecli.model.freia import (
    GLOWCouplingBlock,
    NICECouplingBlock,
    RNVPCouplingBlock,
    SequenceINN,
)

FLOWS = ("nsf", "realnvp", "glow", "hybrid")


class LatentFlow(nn.Module):
    """A density over latent vectors: whitening, then an invertible network.

    `u = to_base(z)` follows the base distribution, N(0, I) by default, when `z` follows the
    learned density; `log_prob(z) = log base(u) + log|det du/dz|` in nats, whitening included.

    Near the data the round trip `u -> z -> u` holds to 1e-4 in float32. With all of `u` three
    (five) times too far out and the subnets' `reach` at 5, to 6e-3 (2e-2) at worst and 5e-5
    (1e-4) in the median; without a limit, as files of the first release are, to no digit at
    worst and to 4e-4 (9e-2) in the median. Measured by `benchmarks/flows.py` with `nsf` on the
    64 latents of Fashion-MNIST: keep posterior starts and temperatures near 1, or work in float64.

    Attributes:
        latent_size: length of a latent vector.
        base: distribution of `u`.
        mean: `(latent_size,)` mean of the latents.
        cholesky: `(latent_size, latent_size)` lower Cholesky factor of their covariance.
    """

    mean: Tensor
    cholesky: Tensor

    def __init__(
        self,
        *,
        kind: str,
        latent_size: int,
        blocks: int = 8,
        width: int = 128,
        bins: int = 8,
        bound: float = 5.0,
        clamp: float = 1.0,
        shift_only_blocks: int = 0,
        dropout: float = 0.0,
        reach: float = 0.0,
        components: int = 0,
    ) -> None:
        """Builds the flow as the identity after whitening.

        Args:
            kind: `nsf` (spline couplings, trainable linear layers), `realnvp` (affine
                couplings, fixed permutations), `glow` (affine couplings, trainable
                linear layers) or `hybrid` (spline and affine couplings in turn).
            latent_size: length of a latent vector; 1 needs `nsf`.
            blocks: coupling blocks.
            width: hidden features of the subnets.
            bins: bins of a spline.
            bound: splines act in `[-bound, bound]`, beyond it the map is linear.
            clamp: limit of an affine coupling's log scale; above 1 the inverse loses
                digits in float32.
            shift_only_blocks: first blocks of `realnvp` that only shift (as in the paper).
            dropout: probability of dropping a hidden feature of the subnets.
            reach: subnets see their inputs clamped to `[-reach, reach]`; 0: as they are. Where
                there are no data a subnet extrapolates, and the map it shapes may then bend
                so strongly that float32 cannot invert it.
            components: Gaussians of the base distribution, see `paecli.training.mixture_fit`;
                0: the base is N(0, I).

        Raises:
            ValueError: unknown kind, or affine couplings over a latent of size 1.
        """
        super().__init__()
        if kind not in FLOWS:
            raise ValueError(f"unknown flow {kind!r}; choose one of {', '.join(FLOWS)}")
        if latent_size == 1 and kind != "nsf":
            raise ValueError(f"a latent of size 1 has no halves to couple for {kind!r}; use 'nsf'")
        self.latent_size = latent_size
        self.base = build_base(components, latent_size)
        self.register_buffer("mean", torch.zeros(latent_size))
        self.register_buffer("cholesky", torch.eye(latent_size))
        subnet = _subnet_constructor(width=width, dropout=dropout, reach=reach)
        spline = {"subnet_constructor": subnet, "bins": bins, "bound": bound}
        affine = {"subnet_constructor": subnet, "clamp": clamp}
        self.inn = SequenceINN(latent_size)
        for block in range(blocks):
            if kind == "nsf" or (kind == "hybrid" and block % 2 == 0):
                self.inn.append(SplineCoupling, **spline)
            elif block < shift_only_blocks:
                self.inn.append(NICECouplingBlock, subnet_constructor=subnet)
            elif kind == "realnvp":
                self.inn.append(RNVPCouplingBlock, **affine)
            else:
                self.inn.append(GLOWCouplingBlock, **affine)
            self.inn.append(Permute if kind == "realnvp" else LinearLU)

    @torch.no_grad()
    def fit_whitening(self, z: Tensor) -> None:
        """Sets mean and Cholesky factor from latents `(n, latent_size)`.

        Latents that never vary, or fewer latents than dimensions, leave directions without
        variance; these get a small floor so that the factor exists.
        """
        z = z.double()
        mean = z.mean(0)
        covariance = (z - mean).T @ (z - mean) / max(len(z) - 1, 1)
        values, vectors = torch.linalg.eigh(covariance)
        floor = max(1e-6 * values.max().item(), 1e-12)
        covariance = (vectors * values.clamp_min(floor)) @ vectors.T
        self.mean.copy_(mean)
        self.cholesky.copy_(torch.linalg.cholesky(covariance))

    def whiten(self, z: Tensor) -> Tensor:
        """Maps latents `(b, latent_size)` to zero mean and unit covariance."""
        white: Tensor = torch.linalg.solve_triangular(self.cholesky, (z - self.mean).T, upper=False)
        return white.T

    def unwhiten(self, white: Tensor) -> Tensor:
        """Undoes `whiten`."""
        return white @ self.cholesky.T + self.mean

    def white_to_base(self, white: Tensor) -> tuple[Tensor, Tensor]:
        """Maps whitened latents to `u` and `log|det du/dwhite|`, `(b,)` in nats."""
        with _full_precision(white):
            u, log_determinant = self.inn(white)
            return u, log_determinant

    def base_to_white(self, u: Tensor) -> Tensor:
        """Maps base vectors `(b, latent_size)` to whitened latents of the same shape."""
        with _full_precision(u):
            return self.inn(u, rev=True)[0]  # type: ignore[no-any-return]

    def to_base(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Maps latents `(b, latent_size)` to `u` and `log|det du/dz|`, `(b,)` in nats."""
        with _full_precision(z):
            u, log_determinant = self.white_to_base(self.whiten(z))
            whitening: Tensor = self.cholesky.diagonal().log().sum()
            return u, log_determinant - whitening

    def from_base(self, u: Tensor) -> Tensor:
        """Maps base vectors `(b, latent_size)` to latents of the same shape."""
        with _full_precision(u):
            return self.unwhiten(self.base_to_white(u))

    def log_prob(self, z: Tensor) -> Tensor:
        """Returns the log density of latents `(b, latent_size)`: `(b,)` in nats."""
        with _full_precision(z):
            u, log_determinant = self.to_base(z)
            return self.base.log_prob(u) + log_determinant

    def sample(
        self, count: int, *, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draws latents `(count, latent_size)`; see `Base.sample`."""
        u = self.base.sample(count, temperature=temperature, generator=generator)
        return self.from_base(u.to(self.mean))

    def forward(self, z: Tensor) -> Tensor:
        """Same as `log_prob`; lets wrappers for several devices hook in."""
        return self.log_prob(z)


def _full_precision(like: Tensor) -> torch.autocast:
    """Switches autocast off: bfloat16's 8 bits would make the inverse miss and densities rough."""
    return torch.autocast(like.device.type, enabled=False)


def _subnet_constructor(
    *, width: int, dropout: float, reach: float
) -> Callable[[int, int], nn.Module]:
    """Returns FrEIA's `(inputs, outputs) -> module` for two hidden layers.

    The last layer starts at zero, so that every coupling starts as the identity.
    """

    def construct(inputs: int, outputs: int) -> nn.Module:
        last = nn.Linear(width, outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        hidden = [nn.Linear(inputs, width), nn.SiLU(), nn.Dropout(dropout)]
        hidden += [nn.Linear(width, width), nn.SiLU(), nn.Dropout(dropout)]
        # numbered as without a limit, so that files of either kind name their weights alike
        numbered = [(str(index), layer) for index, layer in enumerate([*hidden, last])]
        limit = [("limit", nn.Hardtanh(-reach, reach))] if reach else []
        return nn.Sequential(OrderedDict([*limit, *numbered]))

    return construct
