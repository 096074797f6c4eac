"""Exponential moving average of weights."""

import torch
from torch import Tensor, nn


class WeightAverage:
    """Averages a module's weights and running statistics over the steps.

    torch's own `AveragedModel` also blends integer buffers, which breaks permutations;
    here integers are copied.

    Attributes:
        weights: the average, by state-dict name.
    """

    def __init__(self, module: nn.Module, *, decay: float) -> None:
        """Starts from the module's present weights.

        Args:
            module: what to follow.
            decay: weight of the past, in [0, 1); the first steps use less, so that
                the start is forgotten at once.
        """
        self.decay = decay
        self.steps = 0
        self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Takes in the module's weights after one step."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        past: list[Tensor] = []
        present: list[Tensor] = []
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                past.append(self.weights[name])
                present.append(value)
            else:
                self.weights[name].copy_(value)
        torch._foreach_lerp_(past, present, 1 - decay)
