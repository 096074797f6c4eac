"""What is read of a model file without torch agrees with what torch loads."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paecli.cli.commands.info import _fields, _flatten
from paecli.model.autoencoder import Autoencoder
from paecli.model.flow import FLOWS, LatentFlow
from paecli.model.model import Model
from paecli.model.networks import NETWORKS
from paecli.model.requirements import MAP_PEAK, PIXEL_STATISTICS
from paecli.report.model_summary import summary_rows
from paecli.store.checkpoint import Header, load_pae, save_pae
from paecli.store.contents import AUTOENCODER, FLOW, read_contents, read_header, read_table
from paecli.store.describe import describe_model
from paecli.store.publishing.publication_plan import default_name
from paecli.store.registry import fetch_model
from paecli.system.errors import CheckpointError

SHAPE = (1, 28, 28)


def learned(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("variational", [False, True])
def test_parameters_of_every_network_are_told_from_buffers(
    tmp_path: Path, network: str, variational: bool
) -> None:
    arguments = {"network": network, "image_shape": SHAPE, "latent_size": 3}
    arguments |= {"variational": variational}
    model, path = Model(Autoencoder(**arguments)), tmp_path / "a.safetensors"
    save_pae(path, model, Header(kind="autoencoder", autoencoder=arguments))
    contents = read_contents(path)
    assert contents.parameters(AUTOENCODER) == learned(model.autoencoder)
    assert contents.parameters(FLOW) == 0
    assert contents.image_shape == SHAPE


@pytest.mark.parametrize("kind", FLOWS)
@pytest.mark.parametrize("components", [0, 3])
def test_parameters_of_every_flow_are_told_from_buffers(
    tmp_path: Path, kind: str, components: int
) -> None:
    own = {"network": "mlp", "image_shape": SHAPE, "latent_size": 4, "width": 8}
    flow = {"kind": kind, "latent_size": 4, "blocks": 3, "components": components}
    flow |= {"shift_only_blocks": 1}
    model, path = Model(Autoencoder(**own), LatentFlow(**flow)), tmp_path / "a.safetensors"
    save_pae(path, model, Header(kind="pae", autoencoder=own, flow=flow))
    assert read_contents(path).parameters(FLOW) == learned(model.flow)


@pytest.mark.parametrize("name", ["fmnist-32", "fmnist-64", "mnist-8"])
def test_shipped_models_are_described_as_they_load(name: str) -> None:
    path = fetch_model(name)
    contents, (model, header) = read_contents(path), load_pae(path)
    assert contents.header == header
    assert contents.parameters(AUTOENCODER) == learned(model.autoencoder)
    assert contents.parameters(FLOW) == learned(model.flow)
    lengths = {name: len(values) for name, values in model.reference_scores.items()}
    for added in (MAP_PEAK, *PIXEL_STATISTICS):  # measured after the models were published
        del lengths[added]
    assert contents.reference_scores == lengths


TENSOR = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}
BAD_TABLES: list[Any] = [
    [],
    {"a": 1},
    {"a": TENSOR | {"dtype": "U7"}},
    {"a": TENSOR | {"dtype": ["U8"]}},
    {"a": TENSOR | {"shape": [-1]}},
    {"a": TENSOR | {"shape": [True]}},
    {"a": TENSOR | {"shape": 1}},
    {"a": TENSOR | {"shape": [2]}},
    {"a": TENSOR | {"data_offsets": [0]}},
    {"a": TENSOR | {"data_offsets": [0, "1"]}},
    {"a": TENSOR | {"data_offsets": [1, 2]}},
    {"a": TENSOR, "b": TENSOR},
    {"a": TENSOR | {"data_offsets": [0, 2], "shape": [2]}},
    {"a": {}},
    {"__metadata__": 3, "a": TENSOR},
    {"__metadata__": {"pae": 7}, "a": TENSOR},
]


@pytest.mark.parametrize("table", BAD_TABLES, ids=str)
def test_a_damaged_table_is_one_line(model_file: Path, tmp_path: Path, table: Any) -> None:
    if isinstance(table, dict):
        described = read_header(model_file).model_dump_json()
        table = {"__metadata__": {"pae": described}} | table
    text, path = json.dumps(table).encode(), tmp_path / "a.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"0")
    with pytest.raises(CheckpointError, match=str(path)) as caught:
        read_contents(path)
    assert "\n" not in str(caught.value)


FULL = {
    "config": {
        "autoencoder": {
            "data": {"dataset": "blobs", "split_by": "content", "split_seed": 0, "limit": 5},
            "objective": {"loss": "ae"},
            "optimiser": {"epochs": 3, "minutes": 0, "method": "muon"},
            "chosen": {"epochs": "3 epochs"},
            "seed": 0,
        },
        "flow": {"optimiser": {"epochs": 3}, "seed": 1},
    },
    "data": {"dataset": "blobs", "classes": ["a", "b"], "held_out": 0.1, "content_hash": "0"},
    "versions": {"torch": "2"},
    "metrics": {"test_mse": 0.1},
}
ODD: list[Any] = [
    None, [], {}, -1, 0, 1.5, 10**30, "x", "", True, "a" * 5000, [[1]], {"a": {"b": [1]}}, ["x"],
]  # fmt: skip


def _places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    inner = value if isinstance(value, dict) else dict(enumerate(value))
    for key, each in inner.items():
        if isinstance(each, dict | list):
            yield from _places(each, (*above, key))
        else:
            yield (*above, key)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd)[:20])
def test_an_odd_value_anywhere_is_described_or_refused_in_one_line(
    model_file: Path, tmp_path: Path, odd: Any
) -> None:
    table = read_table(model_file)
    content = model_file.read_bytes()
    tensors = content[8 + int.from_bytes(content[:8], "little") :]
    good = json.loads(table["__metadata__"]["pae"]) | FULL
    path, refused = tmp_path / "a.safetensors", []
    for place in _places(good):
        header = copy.deepcopy(good)
        inner = header
        for key in place[:-1]:
            inner = inner[key]
        if place:
            inner[place[-1]] = odd
        described_so = json.dumps(header if place else odd)
        text = json.dumps(table | {"__metadata__": {"pae": described_so}}).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + tensors)
        try:
            described = describe_model(path)
            assert summary_rows(described)
            assert json.dumps(list(_flatten(_fields(described))))
            assert default_name(described.header)
        except CheckpointError as error:
            refused.append(str(error))
    assert refused
    assert not any("\n" in reason for reason in refused)


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"0", lambda b: b[:100]])
def test_a_file_of_another_length_is_refused(model_file: Path, tmp_path: Path, change: Any) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(change(model_file.read_bytes()))
    with pytest.raises(CheckpointError, match=str(path)):
        read_contents(path)
