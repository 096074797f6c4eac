"""Draws of the prior kept on disk: one restoration after another is spared their decoding."""

import hashlib
import re
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from paecli import __version__
from paecli.model.model import Model
from paecli.restoration.samplers.prior_pool import Drawn
from paecli.store.checkpoint import hash_tensors, save_tensors
from paecli.system.errors import WriteError
from paecli.system.folders import cache_folder

WORTH_KEEPING = 1.0  # seconds of decoding
MOST_BYTES = 256 << 20  # of all that is kept; what was not used for longest goes first
NAME = re.compile(r"[0-9a-f]{32}\.safetensors")


def draws_folder() -> Path:
    """Returns where draws are kept; deleting it costs only time."""
    return cache_folder() / "draws"


class KeptDraws:
    """The draws of one model, under names that say all else that they depend on."""

    def __init__(self, model: Model) -> None:
        """Takes the model whose draws they are; it is hashed when draws are first asked for."""
        self.model = model

    @cached_property
    def _made_by(self) -> str:
        """All that draws depend on beside their name."""
        model, sigma = self.model, self.model.sigma
        parts = model.autoencoder.decoder, model.autoencoder.linear, model.require_flow()
        hashes = [hash_tensors(part.state_dict()) for part in parts if part is not None]
        # other versions may draw in another way; processors and devices give other last digits
        version = f"{__version__} {torch.__version__} {torch.backends.cpu.get_cpu_capability()}"
        return f"{' '.join(hashes)} {version} {sigma.dtype} {sigma.device.type}"

    def obtain(self, name: str, draw: Callable[[], Drawn]) -> Drawn:
        """Reads draws that an earlier run has made, or makes and keeps them.

        A folder that cannot be written costs only the time of drawing again.
        """
        key = hashlib.sha256(f"{name} {self._made_by}".encode()).hexdigest()[:32]
        file = draws_folder() / f"{key}.safetensors"
        kept = self._read(file)
        if kept is not None:
            return kept
        began = time.monotonic()
        points, images = draw()
        if time.monotonic() - began > WORTH_KEEPING:
            with suppress(WriteError, OSError):
                save_tensors(file, {"points": points, "images": images}, {})
                _bound_folder(file.parent)
        return points, images

    def _read(self, file: Path) -> Drawn | None:
        try:
            tensors = load_file(file, device=str(self.model.sigma.device))
            drawn = tensors["points"], tensors["images"]
        except (OSError, KeyError, SafetensorError):
            return None  # not drawn yet, or damaged
        with suppress(OSError):  # a cache that may be read only
            file.touch()  # used: not the first to go
        return drawn


def _bound_folder(folder: Path) -> None:
    """Removes what was not used for longest until the rest is small enough."""
    ours = [file for file in folder.iterdir() if NAME.fullmatch(file.name)]
    files = sorted(ours, key=lambda file: file.stat().st_mtime)
    total = sum(file.stat().st_size for file in files)
    for file in files[:-1]:
        if total <= MOST_BYTES:
            break
        total -= file.stat().st_size
        file.unlink(missing_ok=True)
