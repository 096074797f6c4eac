"""What shipped models got after they were published is kept as it was measured."""

import json

import torch

from paecli.model.requirements import PIXEL_STATISTICS
from paecli.store.checkpoint import load_pae
from paecli.store.find_model import find_model
from paecli.store.voices_file import ADDED_SCORES, COMBINED, VOICES_FILE, add_voices, as_entry


def test_an_entry_is_what_a_model_was_given() -> None:
    model, _ = load_pae(find_model("mnist-8"))
    entries = json.loads(VOICES_FILE.read_text("ascii"))
    assert as_entry(model, model.reference_scores) in entries.values()


def test_a_model_of_another_key_stays_as_it_is() -> None:
    model, _ = load_pae(find_model("mnist-8"))
    model.reference_scores = {COMBINED: torch.zeros(3)}
    tables = model.voices.tables
    add_voices(model, "0" * 64)
    assert model.reference_scores[COMBINED].tolist() == [0.0] * 3
    assert model.voices.tables is tables


def test_all_that_is_added_ascends() -> None:
    model, _ = load_pae(find_model("mnist-8"))
    for name in (*ADDED_SCORES, *PIXEL_STATISTICS):
        values = model.reference_scores[name]
        assert torch.equal(values, values.sort().values)
        assert len(values) == len(model.reference_scores[COMBINED])
