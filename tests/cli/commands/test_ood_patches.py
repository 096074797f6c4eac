"""Models of patches, and maps, from the command line."""

import copy
import csv
import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.patches_models import HOLE, write_surfaces
from torch import Tensor
from typer.testing import CliRunner, Result

from paecli.api import PAE
from paecli.cli.app import app
from paecli.data import write_image
from paecli.outliers.scores import fit_reference_scores
from paecli.store.checkpoint import read_header, save_pae
from paecli.system.errors import PaeError


def pae(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 100 good surfaces, four more to test and three with a hole, with masks."""
    folder = tmp_path_factory.mktemp("data") / "tiles"
    write_surfaces(folder / "train" / "good", range(100))
    write_surfaces(folder / "test" / "good", range(200, 204))
    write_surfaces(folder / "test" / "hole", range(300, 303), hole=True)
    left, top, right, bottom = HOLE
    mask = torch.zeros(80, 96, dtype=torch.uint8)
    mask[top:bottom, left:right] = 255
    (folder / "masks" / "hole").mkdir(parents=True)
    for number in range(300, 303):
        Image.fromarray(mask.numpy()).save(folder / "masks" / "hole" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def trained(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of both training commands."""
    run = tmp_path_factory.mktemp("runs") / "tiles"
    options = ("--features", "pixels", "--image-size", 96, "--latent-size", 6)
    first = pae("train-ae", tiles, *options, "--out", run)
    assert first.exit_code == 0, first.output
    assert f"pae train-flow {run}" in first.stderr.replace("\n", "")
    second = pae("train-flow", run, "--epochs", 2, "--blocks", 2, "--device", "cpu")
    assert " latents/s)" in second.stderr  # not images: of each there are many
    assert second.exit_code == 0, second.output
    assert "--maps" in second.stderr
    return run


def test_holes_are_flagged_and_found(trained: Path, tiles: Path, tmp_path: Path) -> None:
    maps, table = tmp_path / "maps", tmp_path / "flags.csv"
    result = pae(
        *("ood", trained, tiles / "test", "--fpr", 0.05, "--maps", maps, "--csv", table),
        *("--truth-masks", tiles / "masks", "--report", tmp_path / "report", "--json"),
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    answer = json.loads(result.stdout)
    assert answer["score"] == "top"
    for image in answer["images"]:
        assert image["outlier"] == (image["p_value"] <= 0.05)
        if "hole" in image["path"]:
            assert image["outlier"]
            left, top, right, bottom = image["regions"][0]["box"]
            assert left < 48 < right
            assert top < 32 < bottom
            assert image["regions"][0]["p_value"] <= 0.05
    located = answer["localisation"]
    assert (located["images"], located["defective"], located["defects"]) == (7, 3, 3)
    assert located["pixel_auroc"] > 0.9
    check_maps(maps, answer)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [json.loads(row["regions"]) for row in rows] == [
        image["regions"] for image in answer["images"]
    ]
    assert "by top" in (tmp_path / "report" / "report.html").read_text()


def check_maps(maps: Path, answer: dict[str, list[dict[str, list[object]]]]) -> None:
    written = sorted(path.relative_to(maps).as_posix() for path in maps.rglob("*.png"))
    good = [f"good/{number}-map.png" for number in range(200, 204)]
    assert written == [
        *good,
        *(f"hole/{number}-map.png" for number in range(300, 303)),
        "scale.png",
    ]
    with Image.open(maps / "hole" / "300-map.png") as picture:
        assert picture.size == (96, 80)
    lines = list(csv.DictReader((maps / "regions.csv").read_text().splitlines()))
    assert len(lines) == sum(len(image["regions"]) for image in answer["images"])
    assert set(lines[0]) == {"path", "left", "top", "right", "bottom", "area", "p_value"}


def test_an_image_alone_has_the_map_it_has_among_others(
    trained: Path, tiles: Path, tmp_path: Path
) -> None:
    """The scale is one for all images, not stretched over those that come together."""
    image = tiles / "test" / "good" / "200.png"
    pae("ood", trained, image, "--maps", tmp_path / "alone")
    pae("ood", trained, tiles / "test", "--maps", tmp_path / "all")
    alone = (tmp_path / "alone" / "200-map.png").read_bytes()
    assert alone == (tmp_path / "all" / "good" / "200-map.png").read_bytes()


def test_a_hole_makes_the_command_fail_on_request(trained: Path, tiles: Path) -> None:
    assert pae("ood", trained, tiles / "test" / "hole", "--fail-on-outlier").exit_code == 3


@pytest.mark.parametrize(
    "command",
    [
        ("eval", "RUN"),
        ("sample", "RUN"),
        ("inpaint", "IMAGE", "--model", "RUN", "--mask", "box"),
        ("denoise", "IMAGE", "--model", "RUN", "--noise", "0.1"),
        ("interpolate", "IMAGE", "IMAGE", "--model", "RUN"),
        ("ood", "RUN", "--against", "noise"),
    ],
)
def test_commands_for_whole_images_say_what_it_cannot_do(
    command: tuple[str, ...], trained: Path, tiles: Path
) -> None:
    places = {"RUN": trained, "IMAGE": tiles / "test" / "good" / "200.png"}
    result = pae(*(places.get(word, word) for word in command))
    assert isinstance(result.exception, PaeError), result.output
    assert re.search("model of patches.*`pae ood`", str(result.exception))
    assert "\n" not in str(result.exception)


def test_info_and_publish_know_it(trained: Path, tmp_path: Path) -> None:
    described = json.loads(pae("info", trained, "--json").stdout)
    assert described["kind"] == "patch-pae"
    assert described["patches"]["features"] == "pixels"
    assert set(described["scores"]) == {"top", "peak", "pixel"}
    published = pae("publish", trained, "--to", tmp_path / "registry", "--name", "tiles")
    assert published.exit_code == 0, published.output
    card = (tmp_path / "registry" / "tiles-r1.md").read_text()
    assert "principal components of 72 features" in card


def test_other_scores_are_refused(trained: Path, tiles: Path) -> None:
    result = pae("ood", trained, tiles / "test", "--score", "combined")
    assert "one score, top" in str(result.exception)


def test_too_fine_a_rate_is_refused(trained: Path, tiles: Path) -> None:
    result = pae("ood", trained, tiles / "test", "--fpr", 0.001)
    assert "finer than" in str(result.exception)


@pytest.mark.parametrize(
    "option", [("--network", "mlp"), ("--epochs", 3), ("--augment", "none"), ("--channels", 1)]
)
def test_options_of_whole_images_are_refused(option: tuple[str, object], tiles: Path) -> None:
    result = pae("train-ae", tiles, "--features", "pixels", *option)
    assert f"{option[0]} has no meaning with --features" in str(result.exception)


def test_images_of_whole_image_models_get_maps_too(
    trained_pae: PAE, blobs: Tensor, model_file: Path, tmp_path: Path
) -> None:
    model = copy.deepcopy(trained_pae)
    model.fit_sigma(blobs[400:])
    model.measure_errors(blobs[400:])
    fit_reference_scores(model, blobs[400:], training=blobs[:400])
    save_pae(tmp_path / "run" / "model.safetensors", model, read_header(model_file))
    odd = blobs[0].clone()
    odd[:, 2:6, 20:24] = 1
    write_image(tmp_path / "images" / "odd.png", odd)
    result = pae(
        *("ood", tmp_path / "run", tmp_path / "images", "--maps", tmp_path / "maps", "--json")
    )
    assert result.exit_code == 0, result.output
    (image,) = json.loads(result.stdout)["images"]
    left, top, right, bottom = image["regions"][0]["box"]
    assert left < 22 < right
    assert top < 4 < bottom
    assert (tmp_path / "maps" / "odd-map.png").is_file()


def test_maps_need_images() -> None:
    assert "--maps" in str(pae("ood", "--maps", "maps").exception)
