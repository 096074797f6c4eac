"""What an exported file computes: image in; reconstruction, latent, scores and p-values out."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from paecli.model.model import Model
from paecli.outliers.ingredients import Ingredients
from paecli.outliers.scores import as_finite, score_of

INPUT = "image"
OUTPUTS = ("reconstruction", "latent", "score", "p_value", "scores", "p_values")


class ScoringGraph(nn.Module):
    """Everything that is told of images, as one function of tensors.

    The scores are those of `paecli.outliers.ingredients`, not written a second time.
    """

    def __init__(self, model: Model, names: Sequence[str]) -> None:
        """Takes what is exported.

        Args:
            model: from `paecli.export.resolved`, with reference scores of each name.
            names: the scores; the first one is the model's main one.
        """
        super().__init__()
        self.model = model
        self.names = tuple(names)
        for name in names:
            self.register_buffer(f"reference_{name}", model.require_reference_scores(name).float())

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Scores images.

        Args:
            image: `(n, c, h, w)`, uint8, or float32 in [0, 1].

        Returns:
            Of `n` images, in the order of `OUTPUTS`: reconstruction `(n, c, h, w)` in [0, 1],
            latent `(n, latent_size)`, main score `(n,)` and its p-value `(n,)` float64, all
            `s` scores `(n, s)` and p-values `(n, s)` float64.
        """
        x = image.float() / 255 if image.dtype == torch.uint8 else image
        with PortableOperators():
            ingredients = Ingredients(self.model, x)
            parts = [score_of(ingredients, name).float() for name in self.names]
            scores = as_finite(torch.stack(parts, dim=1))
            columns = zip(self.names, scores.unbind(1), strict=True)
            p = torch.stack([self._p_values(name, column) for name, column in columns], dim=1)
            reconstruction = self.model.autoencoder.decode(ingredients.z)
        return reconstruction, ingredients.z, scores[:, 0], p[:, 0], scores, p

    def _p_values(self, name: str, scores: Tensor) -> Tensor:
        """As `paecli.outliers.conformal.p_values`, by comparing with every reference score."""
        reference: Tensor = self.get_buffer(f"reference_{name}")
        reached = (reference >= scores.unsqueeze(1)).sum(1)
        return (1 + reached).double() / (len(reference) + 1)


class PortableOperators(TorchFunctionMode):
    """Replaces, while it is entered, functions that ONNX has no operators for."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Calls `func`, or what stands in for it."""
        return PORTABLE.get(func, func)(*args, **(kwargs or {}))


def distances(a: Tensor, b: Tensor, **_usual: Any) -> Tensor:
    """As `torch.cdist` of `(n, k)` and `(m, k)`; the exporter's takes `n m k` numbers of memory."""
    # a linear layer takes b as it is stored; a product with b.T would store b a second time
    products = functional.linear(-2 * a, b, b.square().sum(1))
    return (a.square().sum(1, keepdim=True) + products).clamp_min(0).sqrt()


def count_below(ordered: Tensor, values: Tensor, *, right: bool = False, side: str = "") -> Tensor:
    """As `torch.searchsorted` of ascending rows `(..., m)`, by comparing with all of a row."""
    entries = values.unsqueeze(-1)
    ordered = ordered.unsqueeze(-2) if ordered.ndim > 1 else ordered
    return ((ordered <= entries) if right or side == "right" else (ordered < entries)).sum(-1)


class Smallest(NamedTuple):
    """What `smallest` returns, by the names that torch gives it."""

    values: Tensor
    indices: Tensor


def smallest(values: Tensor, k: int, dim: int = -1) -> Smallest:
    """As `torch.kthvalue`: the k-th smallest value along a dimension."""
    ordered = values.topk(k, dim=dim, largest=False)
    return Smallest(ordered.values.select(dim, k - 1), ordered.indices.select(dim, k - 1))


PORTABLE: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.cdist: distances,
    torch.Tensor.kthvalue: smallest,
    torch.searchsorted: count_below,
}
