"""`pae info`: what a model file holds."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paecli.cli.console import print_json, print_table, say
from paecli.cli.options import Json, Model, ModelOption, ModelRegistry, one_model

if TYPE_CHECKING:
    from paecli.store.describe import ModelDescription


def info(
    argument: Model = None,
    model: ModelOption = None,
    registry: ModelRegistry = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show all settings, hashes and metrics, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Tells what a model is, what it was trained on, how good it is and how it was made.

    Examples:

        pae info

        pae info runs/fmnist --all

        pae info runs/fmnist --json
    """
    from paecli.store.describe import describe_model
    from paecli.store.find_model import find_model

    description = describe_model(find_model(one_model(argument, model), registry=registry))
    fields = _fields(description)
    if json:
        return print_json(fields)
    if everything:
        return print_table("Model", ["", ""], list(_flatten(fields)), words=True)
    from paecli.report.model_summary import summary_rows

    say(str(description.path))  # not in the table, whose cells are folded
    print_table(description.path.name, ["", ""], summary_rows(description), words=True)
    return say("All settings: --all; for programs: --json.")


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
