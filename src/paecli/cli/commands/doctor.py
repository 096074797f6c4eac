"""`pae doctor`: what a bug report needs to know of a machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from paecli.cli.console import print_json, print_table
from paecli.cli.options import DataDir, Json, RegistryAddress

if TYPE_CHECKING:
    from paecli.diagnosis.diagnose import Diagnosis

MEGABYTE = 1e6


def doctor(registry: RegistryAddress = None, data_dir: DataDir = None, json: Json = False) -> None:
    """Shows versions, device, cache, registry and data sets, for bug reports.

    Examples:

        pae doctor

        pae doctor --json
    """
    from paecli.diagnosis.diagnose import diagnose

    diagnosis = diagnose(registry=registry, data_dir=data_dir)
    if json:
        return print_json(asdict(diagnosis) | {"cache": str(diagnosis.cache)})
    return print_table("pae doctor", ["what", "found"], _rows(diagnosis), words=True)


def _rows(found: Diagnosis) -> list[list[str]]:
    state = found.registry
    registry = state.problem or f"{state.entries} entries in {state.seconds:.1f} s"
    cache = f"{found.cache}, {found.cache_bytes / MEGABYTE:.1f} MB"
    return [
        *([name, version] for name, version in found.versions.items()),
        ["system", found.system],
        ["device", found.device],
        ["threads, cores", f"{found.threads}, {found.cores}"],
        ["fast bfloat16", "yes" if found.bfloat16 else "no"],
        ["cache", cache if found.cache_writable else f"{cache}, NOT WRITABLE"],
        [f"registry {state.address}", registry],
        *([f"data set {name}", place] for name, place in found.datasets.items()),
    ]
