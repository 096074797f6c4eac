"""What stands in the way of results: what pae wrote is replaced in words, what not is kept."""

from pathlib import Path

import pytest
from torch import Tensor
from typer.testing import CliRunner

from paecli.cli.app import app
from paecli.cli.outputs import OutputFolder
from paecli.data import write_image
from paecli.system.errors import PaeError, UsageError, WriteError

REPLACED = "holds results of an earlier command; they are replaced"
QUICK = ["--method", "laplace", "--starts", "4", "--samples", "4"]


@pytest.fixture
def inputs(blobs: Tensor, tmp_path: Path) -> Path:
    """A folder of two images."""
    write_image(tmp_path / "in" / "a.png", blobs[500])
    write_image(tmp_path / "in" / "b.png", blobs[501])
    return tmp_path / "in"


@pytest.fixture
def commands(inputs: Path, model_file: Path, tmp_path: Path) -> dict[str, list[str]]:
    """A call of every quick command that writes a folder, and where it writes."""
    place = str(tmp_path / "out")
    model, out = ["--model", str(model_file)], ["--out", place]
    one, ways = str(inputs / "a.png"), ["--steps", "3"]
    # maps compare with held-out images, which this model does not keep
    ood, mapped = ["ood", one, "--score", "log_prob"], ["--model", "mnist-8", "--maps", place]
    return {
        "inpaint": ["inpaint", one, "--mask", "left", *model, *out, *QUICK],
        "denoise": ["denoise", one, "--noise", "0.1", *model, *out, *QUICK],
        "inpaint a folder": ["inpaint", str(inputs), "--mask", "left", *model, *out, *QUICK],
        "sample": ["sample", "-n", "4", "--files", *model, *out],
        "interpolate": ["interpolate", one, str(inputs / "b.png"), *ways, "--files", *model, *out],
        "maps": [*ood, *mapped],
        "report": [*ood, *model, "--report", place],
    }  # fmt: skip


KINDS = ["inpaint", "denoise", "inpaint a folder", "sample", "interpolate", "maps", "report"]


@pytest.mark.parametrize("kind", KINDS)
def test_earlier_results_are_replaced_in_words(
    commands: dict[str, list[str]], tmp_path: Path, kind: str
) -> None:
    first = CliRunner().invoke(app, commands[kind])
    assert first.exit_code == 0, first.output
    assert REPLACED not in " ".join(first.stderr.split())
    written = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert written
    again = CliRunner().invoke(app, commands[kind])
    assert again.exit_code == 0, again.output
    assert REPLACED in " ".join(again.stderr.split())
    assert sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file()) == written


@pytest.mark.parametrize("kind", KINDS)
def test_what_pae_did_not_write_is_kept(
    commands: dict[str, list[str]], tmp_path: Path, kind: str
) -> None:
    CliRunner().invoke(app, commands[kind])
    for path in (tmp_path / "out").rglob("*.*"):
        path.write_bytes(b"a photograph of mine")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}
    result = CliRunner().invoke(app, commands[kind])
    assert isinstance(result.exception, PaeError)
    assert "does not look like a result of pae; choose another folder" in str(result.exception)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")} == before


@pytest.mark.parametrize("option", ["--csv", "--jsonl", "--picture"])
@pytest.mark.parametrize("way", ["image", "link", "hard link", "model", "list"])
def test_no_output_replaces_what_is_read(
    inputs: Path, model_file: Path, tmp_path: Path, option: str, way: str
) -> None:
    table, model = tmp_path / "list.csv", tmp_path / "model.safetensors"
    table.write_text("in/a.png\nin/b.png\n")
    model.write_bytes(model_file.read_bytes())
    chosen = {"image": inputs / "a.png", "model": model, "list": table}.get(way, tmp_path / "x.png")
    if way == "link":
        chosen.symlink_to(inputs / "a.png")
    if way == "hard link":
        chosen.hardlink_to(inputs / "a.png")
    before = chosen.read_bytes()
    images = ["--list", str(table)] if way == "list" else [str(inputs)]
    arguments = ["ood", "--model", str(model), "--score", "log_prob", *images, option, str(chosen)]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, UsageError), result.output
    assert "is read by this command; give another file to write" in str(result.exception)
    assert chosen.read_bytes() == before


def test_two_outputs_do_not_go_into_one_file(inputs: Path, model_file: Path) -> None:
    twice = ["--csv", str(inputs / "t"), "--jsonl", str(inputs.parent / "in" / ".." / "in" / "t")]
    arguments = ["ood", "--model", str(model_file), "--score", "log_prob", str(inputs), *twice]
    result = CliRunner().invoke(app, arguments)
    assert "is named for two outputs" in str(result.exception)


def test_an_export_does_not_replace_its_model(model_file: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(model_file.read_bytes())
    result = CliRunner().invoke(app, ["export", str(model), str(model), "--score", "log_prob"])
    assert "is read by this command" in str(result.exception)
    assert model.read_bytes() == model_file.read_bytes()


def test_a_shorter_series_leaves_nothing_of_a_longer_one(model_file: Path, tmp_path: Path) -> None:
    arguments = ["sample", "--files", "--model", str(model_file), "--out", str(tmp_path)]
    for count in (12, 5):
        CliRunner().invoke(app, [*arguments, "-n", str(count)])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["grid.png", *(f"sample-{n}.png" for n in range(1, 6))]


def test_intervals_of_another_restoration_do_not_stay(
    commands: dict[str, list[str]], blobs: Tensor, tmp_path: Path
) -> None:
    write_image(tmp_path / "out" / "lower.png", blobs[0], own=True)
    assert CliRunner().invoke(app, commands["inpaint"]).exit_code == 0
    assert not (tmp_path / "out" / "lower.png").exists()
    assert (tmp_path / "out" / "mean.png").is_file()


def test_a_link_to_nowhere_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "grid.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(WriteError, match=r"grid\.png is there and does not look like"):
        OutputFolder(tmp_path, ["grid.png"])


@pytest.mark.parametrize("name", ["inbox", "damaged"])
def test_a_demo_takes_no_folder_of_images_for_its_own(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    result = CliRunner().invoke(app, ["demo", "--model", "fmnist-32", "--out", str(tmp_path)])
    assert "is not of an earlier demo; choose another --out" in str(result.exception)


def test_a_demo_replaces_no_other_model(model_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "model"
    run.mkdir()
    (run / "autoencoder.safetensors").write_bytes(model_file.read_bytes())
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path)])
    assert "holds a model of other images; choose another --out" in str(result.exception)
