import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from paecli.system.errors import TrainingError
from paecli.training.run_folder import STATE_KEY
from paecli.training.state import TrainingState

FIELDS = {
    "settings": {"a": 1}, "epoch": 2, "step": 7, "loss_sum": 0.5, "seconds": 1.25,
    "best_metric": None, "averaged_steps": 3, "history": [{"epoch": 1, "loss": 0.25}],
}  # fmt: skip


def load(folder: Path, content: bytes) -> TrainingState:
    path = folder / "autoencoder-state.safetensors"
    path.write_bytes(content)
    return TrainingState.load(path)


def packed(text: str) -> bytes:
    return bytes(save({"module.a": torch.ones(2)}, {STATE_KEY: text}))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    state = TrainingState(**FIELDS, tensors={"module.a": torch.arange(3.0)})
    state.save(tmp_path / "state.safetensors")
    again = TrainingState.load(tmp_path / "state.safetensors")
    assert {**vars(again), "tensors": 0} == {**vars(state), "tensors": 0}
    assert type(again.history[0]["epoch"]) is int
    assert torch.equal(again.part("module.")["a"], torch.arange(3.0))


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "[" * 100_000,
        json.dumps(FIELDS | {"epoch": "x"}), json.dumps(FIELDS | {"epoch": -1}),
        json.dumps(FIELDS | {"settings": []}), json.dumps(FIELDS | {"history": [[]]}),
        json.dumps(FIELDS | {"surprise": 1}),
    ],
)  # fmt: skip
def test_states_that_make_no_sense_are_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(TrainingError, match=r"is damaged; start again with --overwrite") as caught:
        load(tmp_path, packed(text))
    assert "\n" not in str(caught.value)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 30),
)
def test_damaged_states_load_or_are_refused(
    tmp_path: Path, changes: list[tuple[float, int]], cut: int
) -> None:
    content = bytearray(packed(json.dumps(FIELDS)))
    for place, value in changes:
        content[int(place * (len(content) - 1))] = value
    message, epoch = "", 0
    try:
        epoch = load(tmp_path, bytes(content[: len(content) - cut])).epoch
    except TrainingError as error:
        message = str(error)
    assert "\n" not in message
    assert epoch >= 0
