"""`pae doctor`: what a bug report needs to know of a machine."""

import os
import platform
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from paecli.data.sets.locations import find_location
from paecli.data.sets.named_sets import BUNDLED, NAMED_SETS
from paecli.diagnosis.compute import find_compute
from paecli.store.cache import cache_size
from paecli.store.registry import ask_registry
from paecli.store.sources import choose_address
from paecli.system.cores import available_cores
from paecli.system.errors import RegistryError
from paecli.system.folders import cache_folder

LIBRARIES = (
    "paecli", "torch", "torchvision", "FrEIA", "safetensors", "accelerate", "numpy", "pillow",
    "huggingface_hub", "pooch",
)  # fmt: skip


@dataclass(frozen=True)
class RegistryState:
    """Whether the registry in use answers.

    Attributes:
        address: where it is.
        problem: why it does not answer; empty when it does.
        entries: how many things it has.
        seconds: how long the answer took.
    """

    address: str
    problem: str
    entries: int
    seconds: float


@dataclass(frozen=True)
class Diagnosis:
    """What a bug report needs to know.

    Attributes:
        versions: of Python and the libraries.
        system: operating system and processor.
        device: what models run on by default.
        threads: that torch computes with.
        cores: that this process may use.
        bfloat16: whether the device multiplies in bfloat16 fast.
        cache: the cache folder.
        cache_bytes: what it takes up.
        cache_writable: whether downloads could be written there.
        registry: whether it answers.
        datasets: the data sets found, and where.
    """

    versions: dict[str, str]
    system: str
    device: str
    threads: int
    cores: int
    bfloat16: bool
    cache: Path
    cache_bytes: int
    cache_writable: bool
    registry: RegistryState
    datasets: dict[str, str]


def diagnose(*, registry: str | None = None, data_dir: Path | None = None) -> Diagnosis:
    """Looks at versions, device, cache, registry and data sets; changes nothing.

    Args:
        registry: address; None is the one in use.
        data_dir: where to look for data sets first.
    """
    compute = find_compute()
    return Diagnosis(
        versions={"python": platform.python_version()}
        | {name: metadata.version(name) for name in LIBRARIES},
        system=platform.platform(),
        device=compute.device,
        threads=compute.threads,
        cores=available_cores(),
        bfloat16=compute.bfloat16,
        cache=cache_folder(),
        cache_bytes=cache_size(),
        cache_writable=_is_writable(cache_folder()),
        registry=_ask_registry(registry),
        datasets=_find_datasets(data_dir),
    )


def _is_writable(folder: Path) -> bool:
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)


def _ask_registry(registry: str | None) -> RegistryState:
    started, address = time.monotonic(), registry or "?"
    try:
        address = choose_address(registry)
        entries, problem = len(ask_registry(address).entries), ""
    except RegistryError as error:
        entries, problem = 0, str(error)
    return RegistryState(address, problem, entries, time.monotonic() - started)


def _find_datasets(data_dir: Path | None) -> dict[str, str]:
    places = {name: find_location(named, data_dir) for name, named in NAMED_SETS.items()}
    found = {name: str(place) for name, place in places.items() if place is not None}
    return found | dict.fromkeys(BUNDLED, "bundled")
