import json
from pathlib import Path

from PIL import Image
from typer.testing import CliRunner

from paecli.cli.app import app


def test_grid_and_files_are_written(model_file: Path, tmp_path: Path) -> None:
    arguments = ["sample", str(model_file), "-n", "12", "--files", "--out", str(tmp_path), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["count"] == 12
    assert Path(answer["grid_file"]) == tmp_path / "grid.png"
    assert [Path(path).name for path in answer["files"]] == [
        f"sample-{n:02}.png" for n in range(1, 13)
    ]
    for path in answer["files"]:
        with Image.open(path) as image:
            assert image.size == (28, 28)


def test_without_json_standard_output_stays_empty(model_file: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["sample", str(model_file), "--out", str(tmp_path)])
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "grid.png" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["grid.png"]


def test_impossible_counts_are_wrong_usage(model_file: Path) -> None:
    assert CliRunner().invoke(app, ["sample", str(model_file), "-n", "0"]).exit_code == 2


def test_a_picture_is_no_folder(model_file: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["sample", str(model_file), "--out", str(tmp_path / "x.png")])
    assert result.exit_code == 2
    assert "give a folder" in " ".join(result.output.split())
    assert not list(tmp_path.iterdir())
