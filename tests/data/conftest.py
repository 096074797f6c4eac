"""What the data tests share: an empty machine and writers of small data sets."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paecli.data.sets import locations
from paecli.system.folders import CACHE_VARIABLE

from .sets.idx_files import idx_set


@pytest.fixture(autouse=True)
def empty_machine(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Hides what data the machine has; returns the folder that is the cache instead."""
    folder = tmp_path_factory.mktemp("machine")
    monkeypatch.delenv(locations.DATA_VARIABLE, raising=False)
    monkeypatch.setenv(CACHE_VARIABLE, str(folder / "cache"))
    monkeypatch.setattr(locations, "SYSTEM_FOLDER", folder / "system")
    return locations.dataset_cache()


@pytest.fixture
def write_idx_set() -> Callable[..., Path]:
    """Writes a set like MNIST, 20 training and 10 test images of 4x5 pixels."""

    def write(folder: Path, *, zipped: bool = True, fill: int = 0) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in idx_set(fill).items():
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
        return folder

    return write


@pytest.fixture
def write_images() -> Callable[..., list[Path]]:
    """Writes PNG files, each of one random grey."""

    def write(folder: Path, names: list[str], *, size: tuple[int, int] = (6, 4)) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng([*"".join(names).encode()])
        for name in names:
            grey = int(rng.integers(256))
            Image.new("L", (size[1], size[0]), grey).save(folder / name)
        return [folder / name for name in names]

    return write
