"""Folders of images that were trained on, found again where they are now."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from paecli.data.dataset_names import holds_images
from paecli.data.sets.locations import DATA_VARIABLE
from paecli.system.errors import DataError


class Loaded(Protocol):
    """What is loaded from a folder."""

    @property
    def content_hash(self) -> str:
        """A hash of its images."""


Images = TypeVar("Images", bound=Loaded)


def load_moved(
    folder: str,
    data_dir: Path | None,
    *,
    content_hash: str,
    load: Callable[[str], Images],
) -> Images:
    """Loads a folder from where it is now.

    It is looked for in `data_dir` under its own name, where it was, and as `data_dir` itself. The
    latter not if that comes from the variable: where all data sets lie, everything would be read.

    Args:
        folder: its path at the time of the training.
        data_dir: what the user gave with `--data-dir`.
        content_hash: of the images at that time.
        load: loads a folder.

    Returns:
        The first that holds the same images; without one, the first that has its name.

    Raises:
        DataError: there is none.
    """
    before = Path(folder)
    candidates = [before] if data_dir is None else [data_dir / before.name, before]
    if data_dir is not None and str(data_dir) != os.environ.get(DATA_VARIABLE):
        candidates.append(data_dir)
    changed: list[Images] = []
    problems: list[DataError] = []
    for candidate in (
        candidate for candidate in dict.fromkeys(candidates) if holds_images(candidate)
    ):
        try:
            data = load(str(candidate))
        except DataError as error:
            problems.append(error)
            continue
        if data.content_hash == content_hash:
            return data
        if candidate.name == before.name:
            changed.append(data)
    if changed:
        return changed[0]
    if problems:
        raise problems[0]
    raise DataError(
        f"the folder {folder}, on which the model was trained, is not there; "
        "tell with --data-dir where it is now, or name other images with --dataset"
    )
