"""`pae watch`: scores what appears in a folder, and tells drift from outliers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paecli.model.model import Model
from paecli.model.requirements import PIXEL_STATISTICS
from paecli.outliers.conformal import p_values
from paecli.outliers.drift import DriftDetector
from paecli.outliers.pixel_statistics import pixel_statistics
from paecli.outliers.scores import measure_scores
from paecli.watching.arrivals import Arrival, Arrivals, Stop
from paecli.watching.journal import Journal

# What is bet on, beside the pixels themselves, which tell a lamp or a lens that changes a little.
DRIFT_SCORES = ("combined", "log_prob", "cycle_distance")
# How far the pixels of images without a change may be from the model's held-out images, as the
# largest distance of two distribution functions. Two sets of one kind by other hands: .13 in
# brightness, .16 in roughness, .03 in white pixels (test images of MNIST, see docs/decisions.md).
TOLERANCE = {"brightness": 0.2, "saturation": 0.05, "roughness": 0.2}

Emit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class WatchSettings:
    """What is told of each image.

    Attributes:
        score: the score behind the p-values.
        fpr: rate of false positives.
        false_alarm: chance that drift is ever reported without any.
        baseline: how many first images are compared with the model's held-out images, too; 0: all.
        seed: of the draws that break ties.
    """

    score: str
    fpr: float = 0.05
    false_alarm: float = 0.001
    baseline: int = 500
    seed: int = 0


class Watcher:
    """Answers to images one after the other and keeps the answers in a journal."""

    def __init__(
        self, model: Model, journal: Journal, settings: WatchSettings, *, source: str, emit: Emit
    ) -> None:
        """Takes up where the journal ends.

        Args:
            model: both stages, with reference scores.
            journal: of this model and score.
            settings: what to tell.
            source: what the journal calls the model.
            emit: takes each answer before it is noted as given.
        """
        self._model = model
        self._journal = journal
        self._settings = settings
        self._source = source
        self._emit = emit
        self._reference = model.require_reference_scores(settings.score)
        known = usual_values(model)
        drift_scores = tuple(n for n in DRIFT_SCORES if n in model.reference_scores)
        self._names = tuple(dict.fromkeys((settings.score, *drift_scores)))
        self._watched = (*drift_scores, *PIXEL_STATISTICS)
        self.drift = DriftDetector(
            {name: known[name].tolist() for name in self._watched},
            tolerance=TOLERANCE,
            false_alarm=settings.false_alarm,
            baseline=settings.baseline,
            seed=settings.seed,
        )
        for answer in journal.answers():
            if "scores" in answer:
                self.drift.add({name: answer["scores"][name] for name in self._watched})

    def run(self, folder: Path, stop: Stop, *, once: bool = False) -> int:
        """Answers until `stop`, or `once` until everything that is there has an answer.

        Returns:
            How many images were answered, unreadable ones among them.
        """
        arrivals = Arrivals(folder, self._journal, self._model.image_shape)
        answered = 0
        for arrived in arrivals.rounds(stop):
            answered += len(arrived)
            self.answer(arrived)
            if once and not arrived and not arrivals.waiting:
                break
        return answered

    def answer(self, arrived: Sequence[Arrival]) -> None:
        """Scores images, all at once, and gives the answers in their order."""
        readable = [each.pixels for each in arrived if each.pixels is not None]
        measured = self._measure(torch.stack(readable)) if readable else {}
        rows = iter(range(len(readable)))
        for each in arrived:
            if each.pixels is None:
                self._give(each, {"error": each.error})
                continue
            row = next(rows)
            self._give(each, self._judge({n: float(measured[n][row]) for n in measured}))

    def _measure(self, images: Tensor) -> dict[str, Tensor]:
        return measure_scores(self._model, images, self._names) | pixel_statistics(images)

    def _judge(self, scores: dict[str, float]) -> dict[str, Any]:
        settings = self._settings
        score = torch.tensor([scores[settings.score]])
        p = p_values(score, self._reference).item()
        self.drift.add({name: scores[name] for name in self._watched})
        return {
            "p_value": p,
            "outlier": p <= settings.fpr,
            "score": scores[settings.score],
            "drift": {
                "images": self.drift.count,
                # to base 10; 0 raises the alarm
                "evidence": round(self.drift.evidence / math.log(10), 3),
                "alarm": self.drift.alarm,
                "score": self.drift.score,
                "from_start": self.drift.from_start,
            },
            "scores": scores,
        }

    def _give(self, each: Arrival, fields: dict[str, Any]) -> None:
        self._emit({"path": str(each.path), **fields})
        self._journal.add(each.path, each.stamp, each.sha256, {**fields, "model": self._source})


def usual_values(model: Model) -> dict[str, Tensor]:
    """Returns what is known of images that the model was not trained on.

    Returns:
        For each of the model's scores and of `PIXEL_STATISTICS` its values, `(n,)`. Of the latter,
        models by others of 0.1 know those of the few images in their files, maybe none.
    """
    return pixel_statistics(model.held_out_errors.images) | model.reference_scores
