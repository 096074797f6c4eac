"""The loop on a device that is not the CPU: torch's `meta` device, which has shapes only."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from paecli.system.progress import NullProgress
from paecli.training.loop import TrainingLoop
from paecli.training.settings import OptimiserSettings


class OnMeta:
    """Stands for an accelerator that moves what it prepares to another device."""

    device = torch.device("meta")
    num_processes, process_index, is_main_process = 1, 0, True

    def prepare(self, module: nn.Module, *others: Any) -> tuple[Any, ...]:
        return (module.to(self.device), *others)


class SmallStage:
    examples, metric_name = 8, "loss"

    def __init__(self) -> None:
        self.module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_the_average_is_where_the_module_is(tmp_path: Path, averaging: float) -> None:
    stage = SmallStage()
    loop = TrainingLoop(
        stage,  # type: ignore[arg-type]
        name="test",
        settings=OptimiserSettings(averaging=averaging, batch_size=4),
        seed=0,
        state_file=tmp_path / "state",
        described={},
        content_hash="",
        accelerator=OnMeta(),  # type: ignore[arg-type]
        use_bfloat16=False,
        progress=NullProgress(),
    )
    assert {value.device.type for value in loop.average.weights.values()} == {"meta"}
    loop.average.update(stage.module)
