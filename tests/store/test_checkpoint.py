"""Model files: what is written is read, and nothing else is believed."""

import contextlib
import copy
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from paecli.api import PAE
from paecli.model.autoencoder import Autoencoder
from paecli.model.flow import LatentFlow
from paecli.model.reference_images import COMPONENTS
from paecli.model.voices import LEVELS
from paecli.outliers.scores import FAST_SCORES, fit_reference_scores, measure_scores
from paecli.store import checkpoint
from paecli.store.checkpoint import (
    Header,
    hash_tensors,
    load_pae,
    read_header,
    save_pae,
    save_tensors,
)
from paecli.store.header import HEADER_KEY
from paecli.system.errors import CheckpointError, WriteError

VERSION_1 = Path(__file__).parent / "fixtures" / "version-1.safetensors"
Change = Callable[[dict[str, Any], dict[str, Tensor]], None]


def read_raw(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        names = file.keys()
        return json.loads(file.metadata()[HEADER_KEY]), {n: file.get_tensor(n) for n in names}


def changed(path: Path, target: Path, change: Change) -> Path:
    header, tensors = read_raw(path)
    change(header, tensors)
    save_file(tensors, target, {HEADER_KEY: json.dumps(header)})
    return target


def test_a_loaded_model_scores_the_same_to_the_bit(
    trained_pae: PAE, model_file: Path, blobs: Tensor
) -> None:
    model, header = load_pae(model_file)
    assert torch.equal(model.log_prob(blobs), trained_pae.log_prob(blobs))
    assert header == read_header(model_file)
    assert header.autoencoder_hash == hash_tensors(trained_pae.autoencoder.state_dict())
    assert model.reference_scores.keys() == trained_pae.reference_scores.keys()
    assert not model.training


SMALL = {"conv": {"channels": 2}, "resnet": {"channels": 2, "width": 8}, "mlp": {"width": 8}}
BUILT = [
    (network, side, channels)
    for network in (*SMALL, "infogan")
    for side in (28, 32, 64, 128)
    for channels in (1, 3)
    if network != "infogan" or side < 64  # its dense layers grow with the area
]


@pytest.mark.parametrize(("network", "side", "channels"), BUILT)
def test_every_network_trains_a_step_and_comes_back_from_its_file(
    tmp_path: Path, network: str, side: int, channels: int
) -> None:
    arguments = {
        "network": network,
        "image_shape": (channels, side, side),
        "latent_size": 3,
        **SMALL.get(network, {}),
    }
    autoencoder, x = Autoencoder(**arguments), torch.rand(3, channels, side, side)
    optimiser = torch.optim.SGD(autoencoder.parameters(), lr=0.1)
    before = autoencoder(x).detach()
    (autoencoder(x) - x).square().mean().backward()
    optimiser.step()
    model = PAE(autoencoder).eval()
    save_pae(tmp_path / "a.safetensors", model, Header(kind="autoencoder", autoencoder=arguments))
    loaded, _ = load_pae(tmp_path / "a.safetensors")
    assert torch.equal(loaded.reconstruct(x), model.reconstruct(x))
    assert not torch.allclose(loaded.reconstruct(x), before)


def test_half_precision_halves_the_autoencoder_and_keeps_the_flow(
    trained_pae: PAE, model_file: Path, tmp_path: Path, blobs: Tensor
) -> None:
    target = tmp_path / "half.safetensors"
    save_pae(target, trained_pae, read_header(model_file), half=True)
    model, _ = load_pae(target)
    saved = model_file.stat().st_size - target.stat().st_size
    weights = sum(p.numel() for p in trained_pae.autoencoder.parameters())
    assert saved == pytest.approx(2 * weights, rel=0.02)
    assert torch.allclose(model.reconstruct(blobs), trained_pae.reconstruct(blobs), atol=0.01)
    for mine, original in zip(
        model.require_flow().parameters(), trained_pae.require_flow().parameters(), strict=True
    ):
        assert torch.equal(mine, original)


def test_loading_leaves_the_random_state_alone(model_file: Path) -> None:
    before = torch.get_rng_state()
    load_pae(model_file)
    assert torch.equal(torch.get_rng_state(), before)


def test_version_1_stays_loadable() -> None:
    model, header = load_pae(VERSION_1)
    expected = json.loads(VERSION_1.with_suffix(".json").read_text())
    x = torch.linspace(0, 1, 2 * 64).view(2, 1, 8, 8)
    assert header.format_version == 1
    assert header.data["dataset"] == "squares"
    assert model.log_prob(x).tolist() == pytest.approx(expected["log_prob"], rel=1e-4)


def test_what_normal_images_are_compared_with_is_kept(
    trained_pae: PAE, model_file: Path, blobs: Tensor, tmp_path: Path
) -> None:
    model = copy.deepcopy(trained_pae)
    fit_reference_scores(model, blobs[500:], training=blobs[:500])
    save_pae(tmp_path / "fitted.safetensors", model, read_header(model_file))
    loaded, _ = load_pae(tmp_path / "fitted.safetensors")
    expected = measure_scores(model, blobs, FAST_SCORES)
    for name, values in measure_scores(loaded, blobs, FAST_SCORES).items():
        assert torch.equal(values, expected[name])
        assert torch.equal(loaded.reference_scores[name], model.reference_scores[name])
    with safe_open(tmp_path / "fitted.safetensors", framework="pt") as file:
        assert file.get_slice("normal_reference.latents").get_dtype() == "F16"


def test_an_older_files_comparison_is_left_out(model_file: Path, tmp_path: Path) -> None:
    """Version 0.1 compared with held-out images; its scores mean something else now."""

    def make_old(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        tensors.pop("normal_reference.statistics")
        tensors["normal_reference.latents"] = torch.zeros(5, header["flow"]["latent_size"])
        tensors["normal_reference.features"] = torch.zeros(5, 3)
        tensors.update({f"normal_reference.{name}": torch.zeros(4) for name in ("mean", "std")})
        tensors["normal_scores.combined"] = torch.zeros(5)

    model, _ = load_pae(changed(model_file, tmp_path / "old.safetensors", make_old))
    assert set(model.reference_scores) == {"log_prob", "reconstruction"}
    with pytest.raises(CheckpointError, match="--measure-only"):
        measure_scores(model, torch.zeros(1, *model.image_shape), ["combined"])


def test_voices_that_state_other_things_are_left_out(model_file: Path, tmp_path: Path) -> None:
    """So are the scores made by them: p-values against those would be wrong without a word."""

    def give_voices(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        del header
        tensors["voices.tables"] = torch.arange(12.0 * LEVELS).view(12, LEVELS)
        tensors["voices.precision"] = torch.eye(10)
        tensors["normal_scores.combined"] = torch.arange(5.0)

    loaded, _ = load_pae(changed(model_file, tmp_path / "old.safetensors", give_voices))
    model = PAE.of(loaded)
    assert not model.voices.fitted
    assert "combined" not in model.reference_scores
    with pytest.raises(CheckpointError, match="--measure-only"):
        model.p_value(torch.zeros(1, *model.image_shape), "combined")


def set_header(**values: object) -> Change:
    return lambda header, tensors: header.update(values)


def set_option(part: str, **values: object) -> Change:
    return lambda header, tensors: header[part].update(values)


def set_tensor(name: str, make: Callable[[Tensor], Tensor]) -> Change:
    return lambda header, tensors: tensors.update({name: make(tensors[name])})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_header(format_version=2), "format version 2, this pae reads 1; upgrade"),
        (set_header(surprise=1), "damaged header"),
        (set_header(kind="virus"), "damaged header"),
        (set_header(metrics={"mse": float("nan")}), "damaged header"),
        (set_header(autoencoder_hash="0" * 64), "belongs to another autoencoder"),
        (set_header(flow=None), "missing or too much"),
        (set_option("autoencoder", network="os.system"), "no network"),
        (set_option("autoencoder", surprise=1), "no network"),
        (set_option("autoencoder", width=10**12), "damaged header"),
        (set_option("autoencoder", width=-1), "damaged header"),
        (set_option("autoencoder", width=65_536), "another shape"),
        (set_option("autoencoder", width={"a": 1}), "damaged header"),
        (set_option("autoencoder", image_shape=[1, 10**9, 10**9]), "damaged header"),
        (set_option("autoencoder", image_shape=7), "no network"),
        (set_option("autoencoder", image_shape=[[1], 2, 3]), "damaged header"),
        (set_option("flow", blocks=10**9), "damaged header"),
        (set_option("flow", latent_size=65_536), "another shape"),
        (set_tensor("sigma", lambda t: t[:, :4]), "another shape"),
        (set_tensor("sigma", lambda t: t.long()), "another shape or type"),
        (set_tensor("sigma", lambda t: t * float("nan")), "impossible values"),
        (set_tensor("sigma", lambda t: -t), "impossible values"),
        (set_tensor("flow.cholesky", torch.zeros_like), "impossible values"),
        (set_tensor("normal_scores.log_prob", lambda t: t.flip(0)), "impossible values"),
        (set_tensor("normal_scores.log_prob", lambda t: t[:, None]), "another shape"),
        (
            set_tensor("normal_reference.latents", lambda t: torch.zeros(3, t.shape[1])),
            "different lengths",
        ),
        (
            set_tensor("normal_reference.statistics", lambda t: torch.zeros(2, t.shape[1])),
            "does not fit the images",
        ),
        (
            lambda header, tensors: tensors.update({"calibration.edges": torch.zeros(2)}),
            "are no table",
        ),
        (set_tensor("sigma", lambda t: t * 0 + 1e-30), "impossible values"),
        (set_tensor("sigma", lambda t: t * 0 + 1e20), "impossible values"),
        (set_tensor("flow.cholesky", lambda t: t + t.T), "impossible values"),
        (set_tensor("flow.cholesky", lambda t: t * 1e-40), "impossible values"),
        (set_option("config", autoencoder="x"), "damaged header"),
        (set_option("config", autoencoder={"data": "x"}), "damaged header"),
        (set_option("config", autoencoder={"data": {"dataset": ["x"]}}), "damaged header"),
        (set_option("data", dataset={"x": 1}), "damaged header"),
        (set_option("data", dataset="a\0b"), "damaged header"),
        (set_option("data", note="\ud800"), "damaged header"),
        (lambda header, tensors: header["autoencoder"].pop("network"), "describes no network"),
        (lambda header, tensors: tensors.pop("sigma"), "missing or too much"),
        (lambda header, tensors: tensors.update(more=torch.zeros(1)), "missing or too much"),
    ],
)
def test_lies_are_found_out(model_file: Path, tmp_path: Path, change: Change, message: str) -> None:
    path = changed(model_file, tmp_path / "model.safetensors", change)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_pae(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [1e20, -1e20])
@pytest.mark.parametrize("part", ["autoencoder.decoder.", "autoencoder.encoder."])
def test_weights_that_give_no_numbers_are_refused(
    model_file: Path, tmp_path: Path, part: str, value: float
) -> None:
    def change(header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        weights = [n for n in tensors if n.startswith(part) and n.endswith("weight")]
        tensors[weights[0]] = torch.full_like(tensors[weights[0]], value)
        own = {
            n.removeprefix("autoencoder."): t for n, t in tensors.items() if n.startswith("auto")
        }
        header["autoencoder_hash"] = hash_tensors(own)

    path = changed(model_file, tmp_path / "model.safetensors", change)
    with pytest.raises(CheckpointError, match="give no numbers"):
        load_pae(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 90_000_000) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 50_000) + b"[" * 50_000,
        b"\x80\x04cos\nsystem\n(S'true'\ntR." + bytes(100),
        b"<html>not a model</html>",
    ],
)
def test_files_that_are_no_models_end_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_pae(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damaged_files_load_fully_or_not_at_all(
    model_file: Path, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(model_file.read_bytes())
    header_end = 8 + int.from_bytes(content[:8], "little")
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 8))):
            content[data.draw(st.integers(0, header_end - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    with contextlib.suppress(CheckpointError):
        model, _ = load_pae(path)
        assert model.log_prob(torch.rand(2, *model.image_shape)).shape == (2,)


def test_a_deeply_nested_header_is_refused(model_file: Path, tmp_path: Path) -> None:
    _, tensors = read_raw(model_file)
    path = tmp_path / "nested.safetensors"
    save_file(tensors, path, {HEADER_KEY: "[" * 100_000})
    with pytest.raises(CheckpointError, match="not one of pae's"):
        read_header(path)


@pytest.mark.parametrize("depth", [21, 400, 800, 5000])
@pytest.mark.parametrize("part", ["config", "data"])
def test_a_header_that_cannot_be_printed_is_refused(
    model_file: Path, tmp_path: Path, part: str, depth: int
) -> None:
    header, tensors = read_raw(model_file)
    header[part]["deep"] = 1
    text = json.dumps(header).replace('"deep": 1', '"deep": ' + "[" * depth + "]" * depth)
    path = tmp_path / "nested.safetensors"
    save_file(tensors, path, {HEADER_KEY: text})
    with pytest.raises(CheckpointError, match=r"damaged header|not one of pae's"):
        read_header(path)


def saved(model: PAE, path: Path, **described: Any) -> Path:
    save_pae(path, model, Header(kind="pae" if model.flow else "autoencoder", **described))
    return path


@pytest.fixture(scope="module")
def odd_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with every kind of buffer: batch and spectral norms, a mixture, a reference."""
    first = {"network": "infogan", "image_shape": (1, 28, 28), "latent_size": 3}
    second = {"kind": "glow", "latent_size": 3, "blocks": 2, "width": 8, "components": 2}
    model = PAE(Autoencoder(**first), LatentFlow(**second))
    model.reference_images.keep(torch.randn(9, 3), torch.randn(9, 3))
    model.reference_images.fit(torch.randn(9, COMPONENTS))
    path = tmp_path_factory.mktemp("odd") / "model.safetensors"
    return saved(model.eval(), path, autoencoder=first, flow=second)


@pytest.mark.parametrize(
    ("buffer", "make"),
    [
        ("running_var", torch.zeros_like),
        ("running_var", lambda t: -torch.ones_like(t)),
        ("running_var", lambda t: t * 0 + 1e35),
        ("num_batches_tracked", lambda t: t - 100),
        ("_u", torch.zeros_like),
        ("_v", lambda t: t * 1e-20),
        ("flow.base.factors", torch.zeros_like),
        ("flow.base.factors", lambda t: -t),
        ("flow.base.factors", lambda t: t + 1),
        ("flow.base.log_weights", lambda t: t + 5),
        ("flow.base.extent", lambda t: -t),
        ("flow.base.means", lambda t: t + 1e35),
        ("normal_reference.statistics", torch.zeros_like),
        ("normal_reference.statistics", lambda t: -t.abs()),
        (".log_diagonal", lambda t: t + 1e4),
        (".permutation", lambda t: t * 0),
    ],
)
def test_values_that_no_training_leaves_are_refused(
    odd_model: Path, tmp_path: Path, buffer: str, make: Callable[[Tensor], Tensor]
) -> None:
    header, tensors = read_raw(odd_model)
    names = [name for name in tensors if name.endswith(buffer)]
    assert names
    tensors[names[0]] = make(tensors[names[0]])
    first = {n.removeprefix("autoencoder."): t for n, t in tensors.items() if "autoencoder." in n}
    header["autoencoder_hash"] = hash_tensors(first)  # only the values are wrong
    path = tmp_path / "model.safetensors"
    save_file(tensors, path, {HEADER_KEY: json.dumps(header)})
    with pytest.raises(CheckpointError, match=r"impossible values|no numbers") as caught:
        load_pae(path)
    assert "\n" not in str(caught.value)


def test_a_unit_that_never_varied_is_saved_and_loads(odd_model: Path, tmp_path: Path) -> None:
    model, header = load_pae(odd_model)
    buffers = [b for name, b in model.named_buffers() if name.endswith("running_var")]
    buffers[0].zero_()
    for half in (False, True):
        save_pae(tmp_path / "model.safetensors", model, header, half=half)
        load_pae(tmp_path / "model.safetensors")


def test_a_failed_write_leaves_the_old_file(
    trained_pae: PAE, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(WriteError, match="No space left on device; free some space"):
        save_pae(path, trained_pae, Header(kind="pae", autoencoder={"latent_size": 4}))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_strided_and_shared_tensors_are_written(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    tensors = {
        "whole": whole,
        "row": whole[1],
        "turned": whole.T,
        "again": whole,
        "none": whole[:0],
    }
    save_tensors(tmp_path / "t.safetensors", tensors, {})
    loaded = load_file(tmp_path / "t.safetensors")
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


def test_a_full_disk_is_told_in_the_words_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", refuse)
    with pytest.raises(WriteError, match=r"x\.safetensors: No space left on device; free some"):
        checkpoint.save_tensors(tmp_path / "x.safetensors", {}, {})
