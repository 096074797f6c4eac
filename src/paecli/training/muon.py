"""Muon: momentum whose matrices are made orthogonal before each step.

Jordan et al., https://kellerjordan.github.io/posts/muon/; step size as in arXiv:2502.16982.
torch's own `Muon` takes matrices only, each as a whole. This one also takes filters, and cuts
matrices into blocks of rows, without which it is a third of a training step on a CPU.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from functools import cache

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
ITERATIONS = 5  # bring what is larger than a hundredth of the norm between .7 and 1.2
QUINTIC = (3.4445, -4.7750, 2.0315)
RMS = 0.2  # root mean square of AdamW's usual step, so that one learning rate serves both
BLOCK_ROWS = 64  # at most; the cost of a matrix grows with its rows times those of a block


@cache
def has_fast_bfloat16(device: str) -> bool:
    """Tells whether hardware, by the name of its kind, multiplies in bfloat16 faster."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    # older releases of torch do not tell
    if device != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def orthogonalise(matrices: Tensor) -> Tensor:
    """Brings all singular values near 1, by Newton-Schulz iterations.

    In bfloat16, whose few digits suffice, where that is faster. Processors without it would take
    twenty times as long as in float32.

    Args:
        matrices: `(k, rows, columns)`, each treated on its own; cheapest where rows are few.

    Returns:
        `(k, rows, columns)` in bfloat16 or float32.
    """
    a, b, c = QUINTIC
    x = matrices.bfloat16() if has_fast_bfloat16(matrices.device.type) else matrices.float()
    x = x / x.flatten(1).norm(dim=1).clamp_min(1e-7)[:, None, None]
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def as_matrices(parameter: Tensor) -> Tensor:
    """Views a matrix, or filters `(out, in, h, w)`, as blocks of rows `(k, rows, columns)`.

    Blocks are equal, at most `BLOCK_ROWS` long, and not longer than wide.
    """
    matrix = parameter.flatten(1)
    rows, columns = matrix.shape
    longest = min(BLOCK_ROWS, rows, columns)
    block = next(size for size in range(longest, 0, -1) if rows % size == 0)
    return matrix.view(-1, block, columns)


class Muon(torch.optim.Optimizer):
    """Moves matrices and filters along their orthogonalised Nesterov momentum."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, lr: float, weight_decay: float
    ) -> None:
        """Starts with no momentum.

        Args:
            parameters: of two or more axes; all after the first are one side of the matrix.
            lr: learning rate of an AdamW step of the same size.
            weight_decay: decoupled, per unit of `lr`.
        """
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Makes one step; equal shapes are orthogonalised together."""
        del closure
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            updates = self._momentum(parameters)
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter, update in zip(parameters, updates, strict=True):
                matrices = as_matrices(update)
                by_shape[matrices.shape].append((parameter, matrices))
            for shape, members in by_shape.items():
                joined = torch.cat([matrices for _, matrices in members])
                size = group["lr"] * RMS * math.sqrt(max(shape[1:]))
                steps = orthogonalise(joined).split(shape[0])
                for (parameter, _), change in zip(members, steps, strict=True):
                    parameter.add_(change.reshape(parameter.shape), alpha=-size)

    def _momentum(self, parameters: list[nn.Parameter]) -> list[Tensor]:
        """Takes in the gradients and returns Nesterov's look-ahead."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        for p in parameters:
            if "momentum" not in self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        momentum: list[Tensor] = [self.state[p]["momentum"] for p in parameters]
        torch._foreach_lerp_(momentum, gradients, 1 - MOMENTUM)
        return list(torch._foreach_lerp(gradients, momentum, MOMENTUM))
