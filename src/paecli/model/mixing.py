"""Invertible linear layers between couplings: they mix the halves.

Kingma & Dhariwal, "Glow", arXiv:1807.03039, section 3.2.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from paecli.model.freia import InvertibleModule


class LinearLU(InvertibleModule):  # type: ignore[misc]
    """Trainable invertible linear layer `P (L U x + b)` with a fixed permutation P.

    Kingma & Dhariwal, "Glow", arXiv:1807.03039, section 3.2. The diagonal of U is
    kept positive by an exponential, so the determinant is its plain product.
    """

    def __init__(
        self, dims_in: Iterable[tuple[int]], dims_c: Iterable[tuple[int]] | None = None
    ) -> None:
        """Builds the layer as a random permutation (torch's generator)."""
        super().__init__(dims_in, dims_c)
        size = self.dims_in[0][0]
        self.register_buffer("permutation", torch.randperm(size))
        self.lower = nn.Parameter(torch.zeros(size, size))
        self.upper = nn.Parameter(torch.zeros(size, size))
        self.log_diagonal = nn.Parameter(torch.zeros(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def _factors(self) -> tuple[Tensor, Tensor]:
        identity = torch.eye(len(self.bias), dtype=self.bias.dtype, device=self.bias.device)
        upper = self.upper.triu(1) + torch.diag(self.log_diagonal.exp())
        return self.lower.tril(-1) + identity, upper

    def forward(
        self, x_or_z: list[Tensor], c: object = None, rev: bool = False, jac: bool = True
    ) -> tuple[tuple[Tensor], Tensor]:
        """Maps `(batch, size)` either way; returns it and the log-determinant `(batch,)`."""
        del c, jac
        lower, upper = self._factors()
        x = x_or_z[0]
        log_determinant = self.log_diagonal.sum().expand(len(x))
        if not rev:
            y = x @ (lower @ upper).T + self.bias
            return (y[:, self.permutation],), log_determinant
        y = x[:, self.permutation.argsort()] - self.bias
        y = torch.linalg.solve_triangular(lower, y.T, upper=False, unitriangular=True)
        return (torch.linalg.solve_triangular(upper, y, upper=True).T,), -log_determinant

    def output_dims(self, input_dims: list[tuple[int]]) -> list[tuple[int]]:
        """Returns the shapes unchanged."""
        return input_dims


class Permute(InvertibleModule):  # type: ignore[misc]
    """A fixed random permutation drawn from torch's generator, so that a seed fixes it.

    FrEIA's own draws from NumPy's global generator, which `torch.manual_seed` does not fix.
    """

    def __init__(
        self, dims_in: Iterable[tuple[int]], dims_c: Iterable[tuple[int]] | None = None
    ) -> None:
        """Draws the permutation."""
        super().__init__(dims_in, dims_c)
        self.register_buffer("permutation", torch.randperm(self.dims_in[0][0]))

    def forward(
        self, x_or_z: list[Tensor], c: object = None, rev: bool = False, jac: bool = True
    ) -> tuple[tuple[Tensor], Tensor]:
        """Permutes `(batch, size)` either way; the log-determinant `(batch,)` is 0."""
        del c, jac
        x = x_or_z[0]
        order = self.permutation.argsort() if rev else self.permutation
        return (x[:, order],), x.new_zeros(len(x))

    def output_dims(self, input_dims: list[tuple[int]]) -> list[tuple[int]]:
        """Returns the shapes unchanged."""
        return input_dims
