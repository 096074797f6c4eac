"""Optimisers and the learning rate's course."""

import math

import torch
from torch import Tensor, nn

from paecli.system.errors import TrainingError
from paecli.training.muon import Muon
from paecli.training.settings import OptimiserSettings

MUON_SMALLEST_SIDE = 32  # thinner matrices gain nothing from orthogonal updates
BETAS = (0.9, 0.98)


def build_optimisers(module: nn.Module, settings: OptimiserSettings) -> list[torch.optim.Optimizer]:
    """Builds the optimisers of a module.

    `adamw` moves everything by AdamW. `muon` moves matrices and filters by Muon and the rest
    by AdamW.
    Only matrices and filters decay, not biases and norms.

    Returns:
        One optimiser, or two.
    """
    trainable = [p for p in module.parameters() if p.requires_grad]
    matrices = [p for p in trainable if settings.method == "muon" and _suits_muon(p)]
    taken = {id(p) for p in matrices}
    others = [p for p in trainable if id(p) not in taken]
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    rate = settings.learning_rate
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=rate, betas=BETAS, fused=True)
    ]
    if matrices:
        optimisers.append(Muon(matrices, lr=rate, weight_decay=settings.weight_decay))
    return optimisers


def restore_moments(
    optimiser: torch.optim.Optimizer, moments: dict[int, dict[str, Tensor]]
) -> None:
    """Gives an optimiser back what it had gathered.

    Args:
        optimiser: built for the same module and settings.
        moments: by the parameter's number and the moment's name.

    Raises:
        TrainingError: they belong to other parameters.
    """
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for number, own in moments.items():
        shapes = {value.shape for value in own.values() if value.ndim}
        if number >= len(parameters) or shapes - {parameters[number].shape}:
            raise TrainingError(
                "the interrupted run was started with another version of pae; "
                "start again with --overwrite instead of --resume"
            )
    state = {
        number: {name: _laid_out_like(parameters[number], value) for name, value in own.items()}
        for number, own in moments.items()
    }
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def learning_rate_at(fraction: float, settings: OptimiserSettings) -> float:
    """Returns the learning rate after a fraction of the training.

    After the warm-up it follows a cosine, stays, or stays until the cooldown, in which it falls
    as 1 - sqrt (Hagele et al., arXiv:2405.18392).
    """
    if fraction < settings.warmup:
        # never exactly zero, or the first step would be lost
        return settings.learning_rate * max(fraction / settings.warmup, 0.01)
    if settings.schedule == "constant":
        return settings.learning_rate
    if settings.schedule == "trapezoid":
        cooled = max(fraction - (1 - settings.cooldown), 0) / settings.cooldown
        return settings.learning_rate * (1 - math.sqrt(min(cooled, 1)))
    left = (fraction - settings.warmup) / (1 - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * left))


def _laid_out_like(parameter: Tensor, moment: Tensor) -> Tensor:
    """Gives a moment the memory order of its parameter; counters have no axes and stay.

    Filters are channels-last, files are not, and the fused AdamW pairs elements by memory order.
    """
    return torch.empty_like(parameter).copy_(moment) if moment.ndim else moment


def _suits_muon(parameter: nn.Parameter) -> bool:
    return parameter.ndim > 1 and min(parameter.flatten(1).shape) >= MUON_SMALLEST_SIDE
