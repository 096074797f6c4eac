"""What shipped models were told after they were published: the voices of `combined`, and more.

Their files are as they were, with the scores that `combined` had before it had voices. A file
beside this module holds what is missing, for each model under the hash of those scores, so that a
copy of a model under another name finds it too. `benchmarks/measure_voices.py` writes it.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paecli.model.model import Model
from paecli.model.requirements import MAP_PEAK

VOICES_FILE = Path(__file__).with_name("shipped_voices.json")
COMBINED = "combined"
ADDED_SCORES = (COMBINED, MAP_PEAK)
DIGITS = 7


def add_voices(model: Model, key: str) -> None:
    """Gives a model the voices that were measured after it was published, if there are any.

    Args:
        model: a model without voices; its reference scores of `combined` are replaced, and the
            peaks of residual maps added.
        key: the hash of these scores.
    """
    found = json.loads(VOICES_FILE.read_text("ascii")).get(key)
    if found is None:
        return
    model.voices.tables = torch.tensor(found["tables"])
    model.voices.precision = torch.tensor(found["precision"])
    added = {name: torch.tensor(found[name]) for name in ADDED_SCORES}
    model.reference_scores = {**model.reference_scores, **added}


def as_entry(model: Model, scores: dict[str, Tensor]) -> dict[str, Any]:
    """Returns what `add_voices` reads.

    Args:
        model: a model whose voices are fitted.
        scores: each of `ADDED_SCORES` of held-out images, `(n,)` ascending.
    """
    tensors = {"tables": model.voices.tables, "precision": model.voices.precision, **scores}
    return {name: _rounded(values.tolist()) for name, values in tensors.items()}


def _rounded(values: Any) -> Any:
    if isinstance(values, list):
        return [_rounded(each) for each in values]
    return float(f"{values:.{DIGITS}g}")
