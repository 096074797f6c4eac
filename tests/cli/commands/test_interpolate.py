import json
from pathlib import Path

import pytest
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner

from paecli.cli.app import app
from paecli.data import write_image


@pytest.fixture
def ends(blobs: Tensor, tmp_path: Path) -> list[str]:
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for file, blob in zip(files, blobs, strict=False):
        write_image(file, blob)
    return [str(file) for file in files]


def test_path_and_files_are_written(model_file: Path, ends: list[str], tmp_path: Path) -> None:
    options = ["--model", str(model_file), "--steps", "5", "--files", "--out", str(tmp_path / "o")]
    result = CliRunner().invoke(app, ["interpolate", *ends, *options, "--json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert len(answer["log_prob"]) == 5
    assert [Path(path).name for path in answer["files"]] == [f"step-{n}.png" for n in range(1, 6)]
    with Image.open(answer["grid_file"]) as grid:
        assert grid.width > 7 * 100  # both ends and five steps


def test_needs_two_ends(model_file: Path, ends: list[str]) -> None:
    result = CliRunner().invoke(app, ["interpolate", ends[0], "--model", str(model_file)])
    assert result.exit_code == 2
