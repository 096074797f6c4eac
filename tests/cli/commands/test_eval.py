import json
from pathlib import Path

from typer.testing import CliRunner

from paecli.cli.app import app


def test_one_json_object_on_standard_output(model_file: Path, tmp_path: Path) -> None:
    arguments = ["eval", str(model_file), "--dataset", "mnist-mini", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--report", str(tmp_path)])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["dataset"] == "mnist-mini"
    assert report["reconstruction"]["mse"] > 0
    assert "reconstruction MSE" in result.stderr
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Interpolation" in page
    assert f"{report['flow']['nll']:.3f}" in page


def test_weights_without_a_distance_are_wrong_usage(model_file: Path) -> None:
    result = CliRunner().invoke(app, ["eval", str(model_file), "--inception-weights", "w.pth"])
    assert result.exit_code != 0
    assert "--inception-weights" in str(result.exception)


def test_a_missing_weight_file_is_said_before_any_work(model_file: Path) -> None:
    arguments = ["eval", str(model_file), "--dataset", "mnist-mini", "--fid"]
    result = CliRunner().invoke(app, [*arguments, "--inception-weights", "nothing.pth"])
    assert result.exit_code != 0
    assert "nothing.pth" in str(result.exception)
