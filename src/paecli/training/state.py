"""What a training run needs to go on after an interruption, as one safetensors file."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from torch import Tensor

from paecli.store.checkpoint import save_tensors
from paecli.store.header import check_header_length
from paecli.system.errors import CheckpointError, TrainingError

STATE_KEY = "pae-training-state"
DAMAGES = (CheckpointError, OSError, KeyError, TypeError, ValueError)


class _Fields(BaseModel):
    """What a state's text holds, checked; infinite losses do occur."""

    model_config = ConfigDict(extra="forbid")

    settings: dict[str, Any]
    epoch: int = Field(ge=0)
    step: int = Field(ge=0)
    loss_sum: float
    seconds: float
    best_metric: float | None
    averaged_steps: int = Field(ge=0)
    history: list[dict[str, int | float]]
    threads: int | None = Field(None, ge=1)  # 0.1.0 did not record it
    content_hash: str | None = None  # nor this


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
        if not path.is_file():
            raise TrainingError(
                f"{path.parent} holds no interrupted run; start one without --resume"
            )
        try:
            check_header_length(path)
            with safe_open(path, framework="pt") as file:
                fields = _Fields.model_validate_json(file.metadata()[STATE_KEY])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return cls(**dict(fields), tensors=tensors)
        except (*DAMAGES, SafetensorError) as error:
            raise TrainingError(f"{path} is damaged; start again with --overwrite") from error

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Returns the tensors whose names start with `prefix`, without it."""
        return {
            name.removeprefix(prefix): value
            for name, value in self.tensors.items()
            if name.startswith(prefix)
        }
