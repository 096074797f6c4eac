"""`pae ood --against`: how well the scores tell other data sets from the model's own."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import torch
from torch import Tensor

from paecli.data.sharing import is_own, share_parts
from paecli.model.model import BATCH, Model
from paecli.outliers.comparison_sets import (
    ComparisonSet,
    default_sets,
    outlier_sets,
    reference_set,
)
from paecli.outliers.detection_metrics import DetectionMetrics, measure_detection
from paecli.outliers.scores import measure_scores
from paecli.store.header import Header
from paecli.store.runs import origin_of
from paecli.system.limits import spread
from paecli.system.progress import NullProgress, Progress


@dataclass(frozen=True, eq=False)
class SetResult:
    """One data set under one score.

    Attributes:
        dataset: what the user asked for, or the sample taken in its place.
        substitute_for: the full data set in whose place a bundled sample stands, or empty.
        score: name of the score.
        images: how many outliers.
        metrics: how well they are told from the reference images.
    """

    dataset: str
    substitute_for: str
    score: str
    images: int
    metrics: DetectionMetrics


@dataclass(frozen=True, eq=False)
class SetComparison:
    """What `compare_sets` found.

    Attributes:
        reference: the model's own test images.
        reference_count: how many of them were scored.
        outliers: the sets compared with it.
        results: one a set and score.
        scores: by set, the reference one first, then by score, `(n,)`, higher = more unusual.
            A set is called as in `results`; of sets of one name the later ones are numbered.
        seconds: how long it took.
    """

    reference: ComparisonSet
    reference_count: int
    outliers: tuple[ComparisonSet, ...]
    results: tuple[SetResult, ...]
    scores: Mapping[str, Mapping[str, Tensor]]
    seconds: float


def compare_sets(
    model: Model,
    header: Header,
    against: Sequence[str],
    *,
    scores: Sequence[str],
    data_dir: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    progress: Progress = NullProgress(),
) -> SetComparison:
    """Scores the model's test set and others, and measures how well they separate.

    Args:
        model: a trained model.
        header: what its file says about it.
        against: names of data sets, folders, or transforms of the test set; when empty,
            a list that suits the training data.
        scores: names of scores.
        data_dir: where to look for data sets first.
        limit: use at most so many images of each set.
        seed: of the transforms and of the bootstrap.
        progress: told of every batch.

    Raises:
        DataError: a set is missing or damaged.
        UsageError: no such set or score.
    """
    start = time.perf_counter()
    reference = reference_set(origin_of(model, header), data_dir=data_dir, progress=progress)
    names = against or default_sets(header.training_set)
    outliers = outlier_sets(names, reference, data_dir=data_dir, seed=seed, progress=progress)
    compared = (reference, *outliers)
    some = [_some(each.images, limit) for each in compared]
    # in order, not by name: a folder may be called like the one that the model was trained on
    measured = [
        _measure(model, images, scores, name=each.name, progress=progress)
        for each, images in zip(compared, some, strict=True)
    ]
    results = tuple(
        _result(each, score, measured[0][score], own[score], seed)
        for each, own in zip(outliers, measured[1:], strict=True)
        for score in scores
    )
    seconds = time.perf_counter() - start
    by_name = dict(zip(_distinct([each.name for each in compared]), measured, strict=True))
    return SetComparison(reference, len(some[0]), tuple(outliers), results, by_name, seconds)


def _some(images: Tensor, limit: int | None) -> Tensor:
    return images if limit is None else images[spread(len(images), limit)]


def _measure(
    model: Model, images: Tensor, scores: Sequence[str], *, name: str, progress: Progress
) -> dict[str, Tensor]:
    """Scores a set; processes that torchrun started share its batches."""
    batches = dict(enumerate(images.split(BATCH)))
    own = [number for number in batches if is_own(number)]
    mine = torch.cat([images[:0], *(batches[number] for number in own)])
    measured = measure_scores(model, mine, scores, description=f"scoring {name}", progress=progress)
    rows = torch.stack([measured[score] for score in scores], dim=1)
    joined = torch.cat(share_parts(dict(zip(own, rows.split(BATCH), strict=False))))
    return dict(zip(scores, joined.unbind(1), strict=True))


def _distinct(names: Sequence[str]) -> list[str]:
    """Numbers names that were there before, so that none stands twice."""
    found: list[str] = []
    for name in names:
        numbered = (f"{name} ({number})" for number in count(2))
        found.append(next(each for each in chain([name], numbered) if each not in found))
    return found


def _result(
    each: ComparisonSet, score: str, reference: Tensor, outliers: Tensor, seed: int
) -> SetResult:
    metrics = measure_detection(reference.double().numpy(), outliers.double().numpy(), seed=seed)
    return SetResult(each.name, each.substitute_for, score, len(outliers), metrics)
