"""What a training run needs to go on after an interruption, as one safetensors file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from paecli.store.checkpoint import save_tensors
from paecli.system.errors import TrainingError
from paecli.training.averaging import WeightAverage
from paecli.training.optimisers import restore_moments
from paecli.training.run_folder import DAMAGES, STATE_KEY, read_state_fields

MODULE, AVERAGE, BEST, OPTIMISER = "module.", "average.", "best.", "optimiser."  # prefixes of names


@dataclass
class TrainingState:
    """Counters, history and weights after some step.

    Randomness needs no place here: every epoch and step draws from a seed of its own.
    """

    settings: dict[str, Any]
    epoch: int = 0  # epochs completed
    step: int = 0  # steps completed in all
    loss_sum: float = 0.0  # over the steps of the epoch under way
    seconds: float = 0.0
    best_metric: float | None = None
    averaged_steps: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    threads: int | None = None  # that computed the last step
    content_hash: str | None = None  # of the images it is trained on
    course: dict[str, Any] | None = None  # where the end is; see `Course`
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes the state atomically."""
        fields = {key: value for key, value in vars(self).items() if key != "tensors"}
        save_tensors(path, self.tensors, {STATE_KEY: json.dumps(fields)})

    @classmethod
    def load(cls, path: Path) -> "TrainingState":
        """Reads a state.

        Raises:
            TrainingError: the file is missing or damaged.
        """
        fields = read_state_fields(path)
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return cls(**fields.model_dump(), tensors=tensors)
        except (*DAMAGES, SafetensorError) as error:
            raise TrainingError(f"{path} is damaged; start again with --overwrite") from error

    def keep_best(self, module: nn.Module) -> None:
        """Remembers a module's weights as the best so far."""
        self.tensors |= {BEST + name: value.clone() for name, value in module.state_dict().items()}

    def best_weights(self) -> dict[str, Tensor]:
        """Returns the weights that were best on held-out data."""
        return self.part(BEST)

    def gather(
        self, module: nn.Module, average: WeightAverage, optimisers: Sequence[Optimizer]
    ) -> None:
        """Takes in weights, their average and the optimisers' moments as they are now."""
        tensors = {BEST + name: value for name, value in self.best_weights().items()}
        tensors |= {MODULE + name: value for name, value in module.state_dict().items()}
        if average.decay:
            tensors |= {AVERAGE + name: value for name, value in average.weights.items()}
        for number, optimiser in enumerate(optimisers):
            for index, moments in optimiser.state_dict()["state"].items():
                prefix = f"{OPTIMISER}{number}.{index}."
                tensors |= {prefix + key: value for key, value in moments.items()}
        self.averaged_steps = average.steps
        self.tensors = tensors

    def give_back(
        self, module: nn.Module, average: WeightAverage, optimisers: Sequence[Optimizer]
    ) -> None:
        """Gives back what `gather` took.

        Raises:
            RuntimeError, ValueError, LookupError, TypeError: they have other tensors.
            TrainingError: the moments belong to other parameters.
        """
        if self.best_metric is not None:
            module.load_state_dict(self.best_weights())  # only to see that it can be
        module.load_state_dict(self.part(MODULE))
        for name, value in self.part(AVERAGE).items():
            average.weights[name].copy_(value)  # in the module's memory order
        average.steps = self.averaged_steps
        for number, optimiser in enumerate(optimisers):
            moments: dict[int, dict[str, Tensor]] = {}
            for name, value in self.part(f"{OPTIMISER}{number}.").items():
                index, key = name.split(".")
                moments.setdefault(int(index), {})[key] = value
            restore_moments(optimiser, moments)

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Returns the tensors whose names start with `prefix`, without it."""
        return {
            name.removeprefix(prefix): value
            for name, value in self.tensors.items()
            if name.startswith(prefix)
        }
