"""What a training run needs to go on after an interruption, as one safetensors file."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from paecli.store.checkpoint import save_tensors
from paecli.system.errors import TrainingError
from paecli.training.run_folder import DAMAGES, STATE_KEY, read_state_fields


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

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Returns the tensors whose names start with `prefix`, without it."""
        return {
            name.removeprefix(prefix): value
            for name, value in self.tensors.items()
            if name.startswith(prefix)
        }
