"""An exported file answers as the model does, or is not written."""

import ast
import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import disk_usage

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import Tensor

from paecli.api import PAE
from paecli.export import export as job
from paecli.export.compare import compare
from paecli.export.export import choose_scores, export_model
from paecli.export.graph import OUTPUTS, count_below, distances
from paecli.export.resolved import resolved
from paecli.model.autoencoder import Autoencoder
from paecli.model.flow import LatentFlow
from paecli.model.model import Model
from paecli.model.requirements import FAST_SCORES
from paecli.outliers.conformal import p_values
from paecli.outliers.scores import fit_reference_scores, measure_scores
from paecli.store.checkpoint import Header, read_header
from paecli.store.runs import load_with_header
from paecli.system.errors import CheckpointError, WriteError
from paecli.system.temporary import PREFIX

DOCS = Path(__file__).parents[2] / "docs"
SCRIPT = DOCS / "examples" / "score_onnx.py"
SOURCE = "0" * 64


def small_model(network: str, kind: str, *, components: int, shape: tuple[int, int, int]) -> Model:
    """A model that was never trained but has everything that a trained one has."""
    torch.manual_seed(1)
    flow = LatentFlow(kind=kind, latent_size=4, blocks=2, width=8, bins=4, components=components)
    small = {"mlp": {"width": 16, "blocks": 1}, "conv": {"channels": 4}, "resnet": {"channels": 4}}
    encoder = Autoencoder(
        network=network, image_shape=shape, latent_size=4, **small.get(network, {})
    )
    model = Model(encoder, flow)
    for parameter in model.parameters():  # layers that begin as the identity do something, too
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.eval()
    images = torch.rand(120, *shape)
    model.require_flow().fit_whitening(model.encode(images))
    if components:
        means = torch.randn(components, 4)
        factors = torch.eye(4).expand(components, 4, 4) + torch.rand(components, 4, 4).triu(1)
        model.flow.base.set(torch.full((components,), 1 / components), means, factors)
    model.measure_errors(images[:60])
    fit_reference_scores(model, images[:60], training=images[60:])
    return model


def header_of(model: Model) -> Header:
    return Header(kind="pae", autoencoder={}, data={"name": "random"})


def run(file: Path, images: Tensor) -> dict[str, Tensor]:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"image": images.numpy()})
    names = [output.name for output in session.get_outputs()]
    return {name: torch.from_numpy(value) for name, value in zip(names, outputs, strict=True)}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    model = small_model("mlp", "nsf", components=0, shape=(1, 6, 6))
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    export_model(model, header_of(model), path, source_hash=SOURCE, check=50)
    return model, path


@pytest.mark.parametrize(
    ("network", "kind", "components", "shape"),
    [
        ("conv", "realnvp", 3, (3, 9, 9)),
        ("resnet", "glow", 0, (1, 9, 7)),
        ("infogan", "hybrid", 3, (1, 9, 9)),
    ],
)
def test_answers_as_the_model_does(
    network: str, kind: str, components: int, shape: tuple[int, int, int], tmp_path: Path
) -> None:
    model = small_model(network, kind, components=components, shape=shape)
    report = export_model(
        model,
        header_of(model),
        tmp_path / "model.onnx",
        source_hash=SOURCE,
        check=50,
        pixels="float32",
    )
    assert report.comparison.flags == 0
    assert {each.score for each in report.comparison.scores} == set(FAST_SCORES)
    differences = {each.score: each.difference for each in report.comparison.scores}
    # of few held-out images: a step from one of their values to the next is steep
    assert differences.pop("combined") < 5e-3
    assert max(differences.values()) < 1e-4
    assert report.comparison.reconstruction < 1e-4
    assert report.comparison.latent < 1e-4


@pytest.mark.parametrize("count", [1, 2, 7])
def test_takes_any_number_of_images(exported: tuple[Model, Path], count: int) -> None:
    model, path = exported
    images = (torch.rand(count, 1, 6, 6) * 255).to(torch.uint8)
    answers = run(path, images)
    assert tuple(answers) == OUTPUTS
    names = json.loads(facts(path)["scores"])
    ours = measure_scores(model, images, names)
    for column, name in enumerate(names):
        torch.testing.assert_close(answers["scores"][:, column], ours[name], rtol=1e-4, atol=1e-4)
        reference = model.require_reference_scores(name)
        assert answers["p_values"][:, column].equal(p_values(ours[name], reference))
    assert answers["score"].equal(answers["scores"][:, 0])
    assert answers["p_value"].equal(answers["p_values"][:, 0])
    assert answers["reconstruction"].shape == (count, 1, 6, 6)
    assert answers["latent"].shape == (count, 4)


def facts(path: Path) -> dict[str, str]:
    return {each.key: each.value for each in onnx.load(path).metadata_props}


def test_says_what_it_is(exported: tuple[Model, Path]) -> None:
    told = facts(exported[1])
    assert json.loads(told["scores"])[0] == "combined"
    assert told["model_sha256"] == SOURCE
    assert told["image"] == "uint8, 0 to 255"
    shapes = {
        output.name: [dim.dim_param or dim.dim_value for dim in output.type.tensor_type.shape.dim]
        for output in onnx.load(exported[1]).graph.output
    }
    assert shapes["reconstruction"] == ["n", 1, 6, 6]
    assert shapes["scores"] == ["n", len(FAST_SCORES)]


def test_every_result_has_a_shape_so_that_the_file_opens_soon(exported: tuple[Model, Path]) -> None:
    graph = onnx.load(exported[1]).graph
    known = {each.name for each in (*graph.value_info, *graph.output)}
    results = {name for node in graph.node for name in node.output if name}
    assert results <= known


def test_holds_operators_of_the_standard_only(exported: tuple[Model, Path]) -> None:
    assert {node.domain for node in onnx.load(exported[1]).graph.node} <= {"", "ai.onnx"}


def test_nothing_is_written_if_a_flag_differs(
    exported: tuple[Model, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = exported
    out = tmp_path / "model.onnx"
    out.write_text("what was there")
    original = job.resolved

    def slightly_off(model: Model) -> Model:
        other = original(model)
        other.sigma = other.sigma * 1.05
        return other

    monkeypatch.setattr(job, "resolved", slightly_off)
    with pytest.raises(CheckpointError, match=r"is not written: of .* flags of .* differ"):
        export_model(model, header_of(model), out, source_hash=SOURCE, check=50)
    assert out.read_text() == "what was there"
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_the_model_itself_stays_as_it_is() -> None:
    model = small_model("infogan", "nsf", components=0, shape=(1, 9, 9))
    images = torch.rand(2, 1, 9, 9)
    decoded = model.reconstruct(images)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.testing.assert_close(resolved(model).reconstruct(images), decoded)
    assert model.reconstruct(images).equal(decoded)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_a_difference_is_seen(exported: tuple[Model, Path]) -> None:
    model, path = exported
    images = (torch.rand(40, 1, 6, 6) * 255).to(torch.uint8)
    other = small_model("mlp", "nsf", components=0, shape=(1, 6, 6))
    other.reference_scores = {
        name: values + values.std() for name, values in model.reference_scores.items()
    }
    names = json.loads(facts(path)["scores"])
    assert compare(path, model, images, names).flags == 0
    assert compare(path, other, images, names).flags > 0


def test_latents_of_training_images_are_stored_once(exported: tuple[Model, Path]) -> None:
    model, path = exported
    constants = onnx.load(path).graph.initializer
    count, size = model.reference_images.latents.shape
    assert sum(sorted(each.dims) == sorted((count, size)) for each in constants) == 1


def test_scores_to_export() -> None:
    measured = ["typicality", "combined", "beauty", "log_prob"]
    assert choose_scores([], measured) == ("combined", "log_prob", "typicality")
    assert choose_scores(["typicality", "log_prob"], measured) == ("typicality", "log_prob")
    with pytest.raises(CheckpointError, match="no reference scores of 'orientation'"):
        choose_scores(["orientation"], measured)
    with pytest.raises(CheckpointError, match="no reference scores of 'combined'"):
        choose_scores([], ["beauty"])


def test_what_stands_in_for_missing_operators() -> None:
    a, b = torch.rand(5, 3), torch.rand(7, 3)
    torch.testing.assert_close(distances(a, b), torch.cdist(a, b))
    ordered = torch.tensor([0.0, 1.0, 1.0, 2.0])
    values = torch.tensor([[-1.0, 0.0, 1.0], [1.5, 2.0, 3.0]])
    for right in (False, True):
        expected = torch.searchsorted(ordered, values, right=right)
        assert count_below(ordered, values, right=right).equal(expected)
        rows = torch.stack((ordered, 2 * ordered))
        expected = torch.searchsorted(rows, values, right=right)
        assert count_below(rows, values, right=right).equal(expected)


def test_a_trained_model_by_the_script_of_the_docs(
    trained_pae: PAE, model_file: Path, blobs: Tensor, tmp_path: Path
) -> None:
    model, header = load_with_header(model_file)
    assert header == read_header(model_file)
    out = tmp_path / "blobs.onnx"
    export_model(model, header, out, source_hash=SOURCE, check=100)
    image = tmp_path / "blob.png"
    pixels = (blobs[550] * 255).round().to(torch.uint8)
    Image.fromarray(np.asarray(pixels[0])).save(image)
    said = subprocess.run(
        [sys.executable, str(SCRIPT), str(out), str(image)],
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(said.stdout)
    score = measure_scores(trained_pae, pixels[None], ["log_prob"])["log_prob"]
    reference = trained_pae.require_reference_scores("log_prob")
    assert answer["p_value"] == p_values(score, reference).item()
    assert answer["score"] == pytest.approx(score.item(), rel=1e-4)


def test_the_script_is_short_needs_no_torch_and_stands_in_the_docs() -> None:
    text = SCRIPT.read_text()
    assert len(text.splitlines()) <= 20
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported == {"json", "sys", "numpy", "onnxruntime", "PIL"}
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "export.md").read_text(), re.S)
    assert text in blocks


def test_a_full_disk_is_one_line_and_leaves_nothing(
    exported: tuple[Model, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = exported

    def no_room(*paths: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(job, "copyfile", no_room)
    with pytest.raises(WriteError, match=r"cannot write .*model.onnx: No space left on device"):
        export_model(model, header_of(model), tmp_path / "model.onnx", source_hash=SOURCE, check=5)
    monkeypatch.setattr(job, "work_out", lambda *paths: 1 / 0)  # as a library ends there
    monkeypatch.setattr(job, "disk_usage", lambda folder: disk_usage(folder)._replace(free=0))
    with pytest.raises(WriteError, match="No space left on device; free some space, or set TMPDIR"):
        export_model(model, header_of(model), tmp_path / "model.onnx", source_hash=SOURCE, check=5)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_not_utf8_is_written(exported: tuple[Model, Path], tmp_path: Path) -> None:
    model, _ = exported
    out = tmp_path / os.fsdecode(b"model\xff.onnx")
    export_model(model, header_of(model), out, source_hash=SOURCE, check=5)
    assert onnxruntime.InferenceSession(out.read_bytes()).get_outputs()


def test_nobody_is_told_of_an_export(tmp_path: Path) -> None:
    line = "import paecli.export, onnxruntime as o; o.InferenceSession"
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment["TMPDIR"] = str(tmp_path)
    subprocess.run([sys.executable, "-c", line], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []  # the file that its telemetry keeps


def test_what_a_kill_leaves_is_removed_by_the_next_export(
    exported: tuple[Model, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = exported
    monkeypatch.setattr(job, "gettempdir", lambda: str(tmp_path))
    left = tmp_path / f"{PREFIX}abcd1234"
    left.mkdir()
    (left / "traced.onnx").write_bytes(b"half")
    export_model(model, header_of(model), tmp_path / "model.onnx", source_hash=SOURCE, check=5)
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]


def test_where_few_images_are_held_out_the_model_draws_more(
    exported: tuple[Model, Path], tmp_path: Path
) -> None:
    model, _ = exported
    report = export_model(
        model, header_of(model), tmp_path / "model.onnx", source_hash=SOURCE, check=60
    )
    assert report.comparison.images == 120
    assert "samples of the model" in report.source
