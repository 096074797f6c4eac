"""`pae info`: what a model file holds."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from paecli.cli.console import print_json, print_table
from paecli.cli.options import Json, Model

if TYPE_CHECKING:
    from paecli.store.describe import ModelDescription


def info(model: Model = None, json: Json = False) -> None:
    """Tells what a model file holds: networks, settings, data hash, versions, metrics.

    Examples:

        pae info

        pae info runs/fmnist --json
    """
    from paecli.store.describe import describe_model
    from paecli.store.find_model import find_model

    description = describe_model(find_model(model))
    fields = _fields(description)
    if json:
        return print_json(fields)
    rows = [[key, value] for key, value in _flatten(fields)]
    return print_table("Model", ["", ""], rows)


def _fields(described: ModelDescription) -> dict[str, Any]:
    header = described.header
    return {
        "file": str(described.path),
        "size": described.size,
        "sha256": described.sha256,
        "format_version": header.format_version,
        "kind": header.kind,
        "has_flow": header.flow is not None,
        "parameters": {
            "autoencoder": described.autoencoder_parameters,
            "flow": described.flow_parameters,
        },
        "autoencoder": header.autoencoder,
        "flow": header.flow,
        **({"patches": header.patches.model_dump()} if header.patches else {}),
        "autoencoder_hash": header.autoencoder_hash,
        "data": header.data,
        "preprocessing": header.preprocessing,
        "metrics": header.metrics,
        "scores": list(described.scores),
        "versions": header.versions,
        "config": header.config,
    }


def _flatten(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else jsonlib.dumps(value)
