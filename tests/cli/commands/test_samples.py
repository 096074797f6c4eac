"""`pae samples`: files that every command of the README takes."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from paecli.cli.app import app
from paecli.data import load_dataset, read_image

runner = CliRunner()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("samples") / "pictures"
    result = runner.invoke(app, ["samples", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    return {name: Path(path) for name, path in json.loads(result.stdout).items()}


def pixels(path: Path) -> torch.Tensor:
    return read_image(path, image_shape=(1, 28, 28)).pixels


def test_the_damage_is_where_the_mask_is_white(files: dict[str, Path]) -> None:
    whole = load_dataset("fmnist-mini").test.images[1] / 255
    damaged, mask = pixels(files["damaged"]), pixels(files["mask"])
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert (damaged[mask > 0] == 0).all()
    assert torch.allclose(damaged[mask == 0], whole[mask == 0])
    assert (whole[mask > 0] > 0).any()


def test_the_noise_is_as_said(files: dict[str, Path]) -> None:
    whole = load_dataset("fmnist-mini").test.images[2] / 255
    noisy = pixels(files["noisy"])
    inside = (whole > 0.4) & (whole < 0.6)  # nothing is clipped there
    assert (noisy - whole)[inside].std().item() == pytest.approx(0.2, abs=0.04)


def test_the_folder_holds_clothes_and_two_digits(files: dict[str, Path]) -> None:
    names = sorted(path.name for path in files["folder"].iterdir())
    assert len(names) == 20
    assert [name for name in names if "digit" in name] == ["19-digit.png", "20-digit.png"]


def test_nothing_is_replaced(files: dict[str, Path]) -> None:
    before = files["image"].read_bytes()
    result = runner.invoke(app, ["samples", str(files["image"].parent)])
    assert result.exit_code == 1
    assert "not empty" in str(result.exception)
    assert files["image"].read_bytes() == before


def test_what_it_proposes_to_type_works(tmp_path: Path) -> None:
    result = runner.invoke(app, ["samples", str(tmp_path / "p")])
    proposed = [line.split()[1:] for line in result.stderr.splitlines()[1:]]
    assert [command[0] for command in proposed] == ["inpaint", "inpaint", "denoise", "ood"]
    for command in proposed[1:]:
        cheap = [] if command[0] == "ood" else ["--method", "map", "--out", str(tmp_path / "r")]
        ended = runner.invoke(app, [*command, *cheap])
        assert ended.exit_code == 0, ended.output
