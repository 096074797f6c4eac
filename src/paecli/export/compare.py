"""Whether an exported file answers as the model does: the same images through both."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor
from torch.nn import functional

from paecli.export.graph import INPUT
from paecli.model.model import BATCH, Model
from paecli.outliers.conformal import p_values
from paecli.outliers.scores import measure_scores
from paecli.system.progress import NullProgress, Progress

RATES = (0.001, 0.01, 0.05, 0.1)  # of false positives, at which flags are compared
# Sessions as people open them: by default, and without work at the start.
LEVELS = (
    onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
)


@dataclass(frozen=True)
class ScoreComparison:
    """How one score of a file compares with the model's.

    Attributes:
        score: its name.
        difference: largest difference, as a share of the score's size or of the spread of the
            reference scores, whichever is larger; a score may be 0.
        flags: how many flags differ, over all rates.
        first: number of the first image with another flag, or None.
    """

    score: str
    difference: float
    flags: int
    first: int | None


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        images: how many were compared.
        rates: of false positives, at which flags were compared.
        scores: one a score.
        reconstruction: largest difference of a pixel, pixels in [0, 1].
        latent: largest difference of a latent, in units of its size or of the latents' spread,
            whichever is larger.
    """

    images: int
    rates: tuple[float, ...]
    scores: tuple[ScoreComparison, ...]
    reconstruction: float
    latent: float

    @property
    def flags(self) -> int:
        """How many flags differ."""
        return sum(each.flags for each in self.scores)


def compare(
    file: Path,
    model: Model,
    images: Tensor,
    names: Sequence[str],
    *,
    progress: Progress = NullProgress(),
) -> Comparison:
    """Passes images through a file and through the model.

    Args:
        file: an exported file.
        model: what it was exported from.
        images: `(n, c, h, w)` of the type that the file takes, n at least 1.
        names: the scores in the file, in its order.
        progress: told of every batch.
    """
    theirs = [_run(file, images, level, progress) for level in LEVELS]
    ours = measure_scores(model, images, names, description="scoring with torch", progress=progress)
    latents = model.encode(images)
    spread = model.require_flow().cholesky.norm(dim=1)
    rebuilt = model.decode(latents)
    return Comparison(
        images=len(images),
        rates=RATES,
        scores=tuple(
            _compare_score(
                name,
                ours[name],
                [(out["scores"][:, column], out["p_values"][:, column]) for out in theirs],
                reference=model.require_reference_scores(name),
            )
            for column, name in enumerate(names)
        ),
        reconstruction=max((out["reconstruction"] - rebuilt).abs().max().item() for out in theirs),
        latent=max(_relative(out["latent"], latents, spread) for out in theirs),
    )


def perturbed(images: Tensor, *, seed: int) -> Tensor:
    """Returns images `(n, c, h, w)` uint8 changed so that scores see all kinds: the same shape.

    In turn: noise, blur, half the contrast, turned upside down, and random pixels.
    """
    generator = torch.Generator().manual_seed(seed)
    x = images.float() / 255
    noise = torch.randn(x.shape, generator=generator)
    blurred = functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    kinds = (x + 0.1 * noise, blurred, 0.25 + x / 2, x.flip(-2), 0.5 + noise / 4)
    chosen = torch.arange(len(x)) % len(kinds)
    picked = torch.stack([kinds[kind][index] for index, kind in enumerate(chosen.tolist())])
    return (picked.clamp(0, 1) * 255).round().to(torch.uint8)


def _run(
    file: Path, images: Tensor, level: onnxruntime.GraphOptimizationLevel, progress: Progress
) -> dict[str, Tensor]:
    """Returns all outputs of a file, by name."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    parts = []
    with progress.task("scoring with onnxruntime", len(images)) as task:
        for batch in images.split(BATCH):
            parts.append(session.run(names, {INPUT: batch.numpy()}))
            task.advance(len(batch))
    columns = (torch.from_numpy(np.concatenate(column)) for column in zip(*parts, strict=True))
    return dict(zip(names, columns, strict=True))


def _compare_score(
    name: str, ours: Tensor, theirs: Sequence[tuple[Tensor, Tensor]], *, reference: Tensor
) -> ScoreComparison:
    rates = torch.tensor(RATES, dtype=torch.float64)
    flagged = p_values(ours, reference).unsqueeze(1) <= rates
    differs = torch.stack([flagged != (p.unsqueeze(1) <= rates) for _, p in theirs]).sum(0)
    where = differs.any(1).nonzero()
    spread = reference.std(correction=0)
    return ScoreComparison(
        score=name,
        difference=max(_relative(scores, ours, spread) for scores, _ in theirs),
        flags=int(differs.sum()),
        first=int(where[0]) if len(where) else None,
    )


def _relative(theirs: Tensor, ours: Tensor, spread: Tensor) -> float:
    size = torch.maximum(ours.double().abs(), spread.double()).clamp_min(1e-30)
    return ((theirs.double() - ours.double()).abs() / size).max().item()
