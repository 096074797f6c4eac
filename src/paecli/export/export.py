"""`pae export`: writes a model as an ONNX file that was seen to answer as the model does."""

import errno
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile, disk_usage
from tempfile import gettempdir
from typing import Literal

import torch
from torch import Tensor

from paecli.data.model_data import load_for_model
from paecli.export.compare import Comparison, compare, perturbed
from paecli.export.graph import INPUT, ScoringGraph
from paecli.export.onnx_file import finish, trace, work_out
from paecli.export.resolved import resolved
from paecli.model.model import Model
from paecli.model.requirements import DEFAULT_SCORE, FAST_SCORES, require_reference_scores
from paecli.store.header import Header
from paecli.store.runs import origin_of
from paecli.system.errors import CheckpointError, DataError, WriteError
from paecli.system.files import hash_file, replacing
from paecli.system.limits import spread
from paecli.system.progress import NullProgress, Progress
from paecli.system.temporary import temporary_folder

Pixels = Literal["uint8", "float32"]
ROOM = 1 << 20  # bytes; with less a disk is full
FEW = 500  # images; fewer would leave many flags untried


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Attributes:
        path: the file.
        size: its bytes.
        sha256: of its content.
        pixels: type of the images it takes.
        scores: names of the scores, the main one first.
        source: what the compared images are.
        comparison: how the file's answers compare with the model's.
        seconds: how long it took.
    """

    path: Path
    size: int
    sha256: str
    pixels: Pixels
    scores: tuple[str, ...]
    source: str
    comparison: Comparison
    seconds: float


def choose_scores(wanted: Sequence[str], measured: Sequence[str]) -> tuple[str, ...]:
    """Returns the scores to export, the main one first.

    Args:
        wanted: names of fast scores; empty stands for all that have reference scores.
        measured: the scores that the model has reference scores of.

    Raises:
        CheckpointError: one has none.
    """
    for name in wanted:
        require_reference_scores(name, measured)
    names = tuple(dict.fromkeys(wanted)) or tuple(n for n in FAST_SCORES if n in measured)
    if not names:
        require_reference_scores(DEFAULT_SCORE, measured)
    return tuple(sorted(names, key=lambda name: name != DEFAULT_SCORE)) if not wanted else names


def export_model(
    model: Model,
    header: Header,
    out: Path,
    *,
    source_hash: str,
    scores: Sequence[str] = (),
    pixels: Pixels = "uint8",
    check: int = 2_000,
    data_dir: Path | None = None,
    seed: int = 0,
    progress: Progress = NullProgress(),
) -> ExportReport:
    """Writes a model as an ONNX file, unless a flag of the file differs from the model's.

    Args:
        model: both stages, with reference scores.
        header: what its file says.
        out: the file to write.
        source_hash: SHA-256 of the model's file, which the ONNX file names.
        scores: names of fast scores, the main one first; empty for all.
        pixels: whether the file takes uint8, or float32 in [0, 1].
        check: held-out images to compare; as many again are changed ones.
        data_dir: where to look for the model's data set first.
        seed: of the changes.
        progress: told of every step.

    Raises:
        CheckpointError: no flow, no reference scores, or a flag differs.
        WriteError: the file cannot be written.
    """
    start = time.perf_counter()
    names = choose_scores(scores, list(model.reference_scores))
    held_out, source = _held_out(model, header, check, data_dir=data_dir, progress=progress)
    images = torch.cat((held_out, perturbed(held_out, seed=seed)))
    images = images if pixels == "uint8" else images.float() / 255
    with temporary_folder(Path(gettempdir())) as folder, replacing(out) as temporary:
        traced, finished = folder / "traced.onnx", folder / "finished.onnx"
        progress.say("tracing the model")
        with _told_of_a_full_disk(folder):
            trace(ScoringGraph(resolved(model), names), images[0], traced)
            work_out(traced, finished)
            finish(
                finished,
                shapes=_shapes(model, len(names)),
                facts=_facts(model, header, names, pixels=pixels, source_hash=source_hash),
            )
        comparison = compare(finished, model, images, names, progress=progress)
        _refuse_difference(comparison, out)
        # only now: libraries have words of their own for a full disk, and take no odd names
        copyfile(finished, temporary)
        size, sha256 = temporary.stat().st_size, hash_file(temporary)
    return ExportReport(
        path=out,
        size=size,
        sha256=sha256,
        pixels=pixels,
        scores=names,
        source=source,
        comparison=comparison,
        seconds=time.perf_counter() - start,
    )


@contextmanager
def _told_of_a_full_disk(folder: Path) -> Iterator[None]:
    """Turns whatever libraries raise where a disk is full into one line.

    Raises:
        WriteError: it is full.
    """
    try:
        yield
    except Exception as error:
        if disk_usage(folder).free > ROOM:
            raise
        raise WriteError(
            f"cannot write {folder}: {os.strerror(errno.ENOSPC)}; free some space, or set TMPDIR"
        ) from error


def _held_out(
    model: Model, header: Header, count: int, *, data_dir: Path | None, progress: Progress
) -> tuple[Tensor, str]:
    """Returns images `(n, c, h, w)` uint8 that the model was not trained on, and what they are.

    The model draws those that lack.
    """
    try:
        data = load_for_model(origin_of(model, header), data_dir=data_dir, progress=progress)
        images, source = data.dataset.test.images, f"test images of {data.dataset.source}"
    except DataError:  # a folder that stayed on another machine
        images, source = model.held_out_errors.images, "held-out images in the model's file"
    wanted = min(count, FEW)
    if len(images) < wanted:
        generator = torch.Generator().manual_seed(0)
        drawn = model.sample(wanted - len(images), generator=generator)
        drawn = (drawn * 255).round().to(torch.uint8)
        if len(images):
            return torch.cat((images, drawn)), f"{source}, and {len(drawn)} samples of the model"
        return drawn, "samples of the model"
    return images[spread(len(images), count)], source


def _shapes(model: Model, scores: int) -> dict[str, tuple[int, ...]]:
    return {
        "reconstruction": model.image_shape,
        "latent": (model.latent_size,),
        "score": (),
        "p_value": (),
        "scores": (scores,),
        "p_values": (scores,),
    }


def _facts(
    model: Model, header: Header, names: Sequence[str], *, pixels: Pixels, source_hash: str
) -> dict[str, object]:
    return {
        "pae": header.versions.get("paecli", ""),
        "model_sha256": source_hash,
        "training_set": Path(header.training_set).name,  # folders of the maker stay private
        INPUT: f"{pixels}, {'0 to 255' if pixels == 'uint8' else '0 to 1'}",
        "scores": list(names),
        "reference_images": {name: len(model.reference_scores[name]) for name in names},
    }


def _refuse_difference(comparison: Comparison, out: Path) -> None:
    for each in comparison.scores:
        if each.flags:
            raise CheckpointError(
                f"{out} is not written: of {comparison.images:,} images, {each.flags} flags of "
                f"{each.score} differ between torch and onnxruntime (first: image {each.first}); "
                f"leave that score out with --score, or update onnxruntime"
            )
