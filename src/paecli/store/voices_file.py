"""What shipped models were told after they were published: the voices of `combined`, and more.

Their files are as they were, with the scores that `combined` had before it had voices. A file
beside this module holds what is missing, for each model under the hash of those scores, so that a
copy of a model under another name finds it too. `benchmarks/measure_voices.py` writes it.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paecli.model.model import Model
from paecli.model.requirements import MAP_PEAK, PIXEL_STATISTICS

VOICES_FILE = Path(__file__).with_name("shipped_voices.json")
COMBINED = "combined"
ADDED_SCORES = (COMBINED, MAP_PEAK)
PIXELS = "pixels"
DIGITS = 7
# Of the pixel statistics. Shares of white pixels are few and often equal to those of new images:
# they keep all digits of a float32. Three are less than the others' scatter of a thousand images.
PIXEL_DIGITS = {"brightness": 3, "saturation": 9, "roughness": 3}


def add_voices(model: Model, key: str) -> None:
    """Gives a model the voices that were measured after it was published, if there are any.

    Args:
        model: a model without voices; its reference scores of `combined` are replaced, and the
            peaks of residual maps and the pixel statistics added.
        key: the hash of these scores.
    """
    found = json.loads(VOICES_FILE.read_text("ascii")).get(key)
    if found is None:
        return
    model.voices.tables = torch.tensor(found["tables"])
    model.voices.precision = torch.tensor(found["precision"])
    added = {name: torch.tensor(found[name]) for name in ADDED_SCORES}
    added |= {
        name: torch.tensor(levels).repeat_interleave(torch.tensor(counts))
        for name, (levels, counts) in found[PIXELS].items()
    }
    model.reference_scores = {**model.reference_scores, **added}


def as_entry(model: Model, scores: dict[str, Tensor]) -> dict[str, Any]:
    """Returns what `add_voices` reads.

    Args:
        model: a model whose voices are fitted.
        scores: each of `ADDED_SCORES` and of `PIXEL_STATISTICS` of held-out images, `(n,)`
            ascending.
    """
    tensors = {"tables": model.voices.tables, "precision": model.voices.precision}
    tensors |= {name: scores[name] for name in ADDED_SCORES}
    entry = {name: _rounded(values.tolist()) for name, values in tensors.items()}
    return entry | {PIXELS: {name: _as_runs(name, scores[name]) for name in PIXEL_STATISTICS}}


def _as_runs(name: str, values: Tensor) -> list[list[float] | list[int]]:
    """Returns the distinct rounded values, ascending, and how often each is there."""
    counts = Counter(_rounded(values.tolist(), PIXEL_DIGITS[name]))
    return [sorted(counts), [counts[level] for level in sorted(counts)]]


def _rounded(values: Any, digits: int = DIGITS) -> Any:
    if isinstance(values, list):
        return [_rounded(each, digits) for each in values]
    return float(f"{values:.{digits}g}")
