"""What the data tests share: an empty machine and writers of small data sets."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paecli.data import places

ENTRIES = (("train", 20), ("t10k", 10))


@pytest.fixture(autouse=True)
def empty_machine(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Hides what data the machine has; returns the folder that is the cache instead."""
    folder = tmp_path_factory.mktemp("machine")
    monkeypatch.delenv(places.DATA_VARIABLE, raising=False)
    monkeypatch.setattr(places, "user_cache_path", lambda app: folder / "cache" / app)
    monkeypatch.setattr(places, "SYSTEM_FOLDER", folder / "system")
    return places.cache_folder()


def idx_bytes(values: np.ndarray) -> bytes:
    """Writes unsigned bytes as IDX."""
    header = b"\0\0\x08" + bytes([values.ndim])
    return header + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@pytest.fixture
def write_idx_set() -> Callable[..., Path]:
    """Writes a set like MNIST, 20 training and 10 test images of 4x5 pixels."""

    def write(folder: Path, *, zipped: bool = True, fill: int = 0) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for part, count in ENTRIES:
            images = np.arange(count * 20, dtype=np.int64).reshape(count, 4, 5) + fill
            labels = np.arange(count) % 10
            for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
                content = idx_bytes((values % 256).astype(np.uint8))
                name = f"{part}-{kind}-ubyte" + (".gz" if zipped else "")
                (folder / name).write_bytes(gzip.compress(content) if zipped else content)
        return folder

    return write


@pytest.fixture
def write_images() -> Callable[..., list[Path]]:
    """Writes PNG files, each of one random grey."""

    def write(folder: Path, names: list[str], *, size: tuple[int, int] = (6, 4)) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(len(names))
        for name in names:
            grey = int(rng.integers(256))
            Image.new("L", (size[1], size[0]), grey).save(folder / name)
        return [folder / name for name in names]

    return write
