"""What shipped models were told after they were published: the voices of `combined`.

Their files are as they were, with the scores that `combined` had before it had voices. A file
beside them holds what is missing, for each model under the hash of those scores, so that a copy of
a model under another name finds it too. `benchmarks/measure_voices.py` writes it.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import paecli
from paecli.model.model import Model

VOICES_FILE = Path(paecli.__file__).parent / "registry" / "voices.json"
COMBINED = "combined"
DIGITS = 7


def add_voices(model: Model, key: str) -> None:
    """Gives a model the voices that were measured after it was published, if there are any.

    Args:
        model: a model without voices; its reference scores of `combined` are replaced.
        key: the hash of these scores.
    """
    found = json.loads(VOICES_FILE.read_text("ascii")).get(key)
    if found is None:
        return
    model.voices.tables = torch.tensor(found["tables"])
    model.voices.precision = torch.tensor(found["precision"])
    model.reference_scores = {**model.reference_scores, COMBINED: torch.tensor(found[COMBINED])}


def as_entry(model: Model, scores: Tensor) -> dict[str, Any]:
    """Returns what `add_voices` reads.

    Args:
        model: a model whose voices are fitted.
        scores: `(n,)` ascending, `combined` of held-out images by these voices.
    """
    tensors = {"tables": model.voices.tables, "precision": model.voices.precision, COMBINED: scores}
    return {name: _rounded(values.tolist()) for name, values in tensors.items()}


def _rounded(values: Any) -> Any:
    if isinstance(values, list):
        return [_rounded(each) for each in values]
    return float(f"{values:.{DIGITS}g}")
