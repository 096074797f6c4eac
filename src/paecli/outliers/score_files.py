"""Image files read and scored, a chunk at a time, by all processes that torchrun started."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from paecli.data.images.files import none_readable, read_image
from paecli.data.images.opening import several_note
from paecli.data.sharing import Told, is_own, tell_all
from paecli.model.model import Model
from paecli.outliers.scores import measure_with_parts
from paecli.system.errors import ImageError
from paecli.system.progress import NullProgress, Progress, Task

CHUNK = 500  # images in memory at the same time
PIXELS = "pixels"  # no score is called so


@dataclass(frozen=True, eq=False)
class ScoredFiles:
    """What is known of image files once they are scored.

    Attributes:
        readable: the files that could be read, in order.
        scores: for each name `(n,)` scores of these.
        spoke: the parts that made their scores of `combined`.
        unreadable: path and reason of each of the others.
        pixels: of those that score highest by the first name, `(c, h, w)`.
    """

    readable: list[Path]
    scores: dict[str, Tensor]
    spoke: list[str | None]
    unreadable: list[tuple[Path, str]]
    pixels: dict[Path, Tensor]


@dataclass
class _Chunk:
    """The same of a few files, which are told by their numbers; `several` hold more images."""

    readable: list[int] = field(default_factory=list)
    unreadable: list[tuple[int, str]] = field(default_factory=list)
    several: list[int] = field(default_factory=list)
    spoke: list[str | None] = field(default_factory=list)
    scores: dict[str, Tensor] = field(default_factory=dict)


class _Highest(NamedTuple):
    """An image that may be among those that score highest."""

    score: float
    number: int
    pixels: Tensor


def score_files(
    model: Model,
    paths: Sequence[Path],
    names: Sequence[str],
    *,
    shown: int,
    progress: Progress = NullProgress(),
) -> ScoredFiles:
    """Reads and scores files, each once: they may be gone afterwards.

    Args:
        model: a model with a flow.
        paths: image files.
        names: which scores; the first tells whose pixels are kept.
        shown: of how many images the pixels are kept.
        progress: told of every file.

    Raises:
        ImageError: not a single one can be read.
    """
    own: list[_Chunk] = []
    highest: list[_Highest] = []
    with progress.task("scoring images", len(paths)) as task:
        for number, begin in enumerate(range(0, len(paths), CHUNK)):
            if is_own(number):
                files = dict(enumerate(paths[begin : begin + CHUNK], start=begin))
                chunk, images = _score(model, files, names, task)
                own.append(chunk)
                if images:
                    scores = chunk.scores[names[0]].tolist()
                    highest += map(_Highest, scores, chunk.readable, images)
                    highest = _first(highest, shown)
    chunks, highest = _of_all_processes(own, highest)
    unreadable = [(paths[each], reason) for chunk in chunks for each, reason in chunk.unreadable]
    readable = [paths[each] for chunk in chunks for each in chunk.readable]
    if note := several_note([paths[each] for chunk in chunks for each in chunk.several]):
        progress.say(note)
    if not readable:
        raise none_readable(unreadable)
    return ScoredFiles(
        readable=readable,
        scores={
            name: torch.cat([chunk.scores[name] for chunk in chunks if chunk.readable])
            for name in names
        },
        spoke=[part for chunk in chunks for part in chunk.spoke],
        unreadable=unreadable,
        pixels={paths[each.number]: each.pixels for each in _first(highest, shown)},
    )


def _first(images: Sequence[_Highest], count: int) -> list[_Highest]:
    return sorted(images, key=lambda each: (-each.score, each.number))[:count]


def _score(
    model: Model, files: dict[int, Path], names: Sequence[str], task: Task
) -> tuple[_Chunk, list[Tensor]]:
    """Reads and scores some files; returns the pixels of the readable ones, too."""
    chunk = _Chunk()
    images: list[Tensor] = []
    for number, path in files.items():
        try:
            image = read_image(path, image_shape=model.image_shape)
            images.append(image.pixels)
            chunk.readable.append(number)
            chunk.several += [number] * image.several
        except ImageError as error:
            chunk.unreadable.append((number, str(error)))
        task.advance()
    if images:
        chunk.scores, loudest = measure_with_parts(model, torch.stack(images), names)
        chunk.spoke = [*loudest] if loudest else [None] * len(images)
    return chunk, images


def _of_all_processes(
    own: Sequence[_Chunk], highest: Sequence[_Highest]
) -> tuple[list[_Chunk], list[_Highest]]:
    """Returns the chunks of all processes in the order of their files, and their highest images."""
    texts = [(each.readable, each.unreadable, each.several, each.spoke) for each in own]
    tensors = {
        f"{name} {index}": values
        for index, chunk in enumerate(own)
        for name, values in chunk.scores.items()
    } | {f"{PIXELS} {each.number}": each.pixels for each in highest}
    chunks: list[_Chunk] = []
    images: list[_Highest] = []
    for told in tell_all(Told(tensors, (texts, [each[:2] for each in highest]))):
        texts, others = told.said
        scores: list[dict[str, Tensor]] = [{} for _ in texts]
        for key, values in told.tensors.items():
            name, _, index = key.partition(" ")
            if name != PIXELS:
                scores[int(index)][name] = values
        for (readable, refused, several, spoke), found in zip(texts, scores, strict=True):
            unreadable = [(number, reason) for number, reason in refused]
            chunks.append(_Chunk(readable, unreadable, several, spoke, found))
        images += [
            _Highest(score, number, told.tensors[f"{PIXELS} {number}"]) for score, number in others
        ]
    chunks.sort(key=lambda each: min([*each.readable, *(number for number, _ in each.unreadable)]))
    return chunks, images
