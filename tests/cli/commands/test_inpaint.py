import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner, Result

from paecli.cli.app import app
from paecli.data import write_image
from paecli.restoration.samplers import draws

KEYS = {
    "likeness", "guarantee",
    "path", "map_file", "mean_file", "std_file", "samples_file", "overview_file", "modes", "chi2",
    "degrees_of_freedom", "missing_pixels", "mask_notes", "coverage", "method",
    "note", "diagnostics", "seconds",
}  # fmt: skip
DIAGNOSTICS = {"pareto_k", "rhat", "ess", "passed", "disagreement", "evidence_gap", "ancestors"}
QUICK = ["--method", "laplace", "--starts", "8", "--samples", "4"]


@pytest.fixture
def image(blobs: Tensor, tmp_path: Path) -> Path:
    write_image(tmp_path / "in" / "a.png", blobs[500])
    write_image(tmp_path / "in" / "b.png", blobs[501])
    return tmp_path / "in" / "a.png"


def test_inpaint_prints_one_object_and_writes_its_files(
    image: Path, model_file: Path, tmp_path: Path
) -> None:
    arguments = ["inpaint", str(image), "--mask", "left", "--model", str(model_file)]
    more = ["--truth", str(image), "--out", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(app, [*arguments, *QUICK, *more])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert set(answer) == KEYS
    assert set(answer["coverage"]) == {"50%", "80%", "95%"}
    assert sum(mode["weight"] for mode in answer["modes"]) == pytest.approx(1)
    assert answer["degrees_of_freedom"] == 14 * 28
    assert set(answer["diagnostics"]) == DIAGNOSTICS
    for key in (key for key in KEYS if key.endswith("_file")):
        assert Path(answer[key]).is_file()


def test_a_folder_gives_a_line_an_image(image: Path, model_file: Path, tmp_path: Path) -> None:
    arguments = ["denoise", str(image.parent), "--noise", "0.1", "--model", str(model_file)]
    result = CliRunner().invoke(app, [*arguments, *QUICK, "--json", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(line["path"]).name for line in lines] == ["a.png", "b.png"]
    assert all(line["coverage"] is None for line in lines)
    assert len({line["map_file"] for line in lines}) == 2


def test_without_json_standard_output_stays_empty(
    image: Path, model_file: Path, tmp_path: Path
) -> None:
    arguments = ["inpaint", str(image), "--mask", "box", "--model", str(model_file)]
    result = CliRunner().invoke(app, [*arguments, *QUICK, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "laplace" in result.stderr


def test_a_failed_diagnostic_is_said_on_the_terminal(
    image: Path, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draws, "PARETO_LIMIT", -1.0)
    arguments = ["inpaint", str(image), "--mask", "left", "--model", str(model_file)]
    more = ["--method", "is", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*arguments, *QUICK, *more])
    assert result.exit_code == 0, result.output
    assert "Pareto k" in result.stderr


def test_nothing_observed_is_said_to_be_drawn_from_the_prior(
    image: Path, model_file: Path, tmp_path: Path
) -> None:
    arguments = ["inpaint", str(image), "--mask", "random:1", "--model", str(model_file)]
    result = CliRunner().invoke(app, [*arguments, "--json", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["method"] == "prior"
    assert answer["diagnostics"]["passed"] is None
    assert "drawn from the prior" in result.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    "arguments", [["inpaint", "a.png"], ["denoise", "a.png"],
                  ["denoise", "a.png", "--noise", "-1"],
                  ["inpaint", "a.png", "--mask", "left", "--method", "guess"]],
)  # fmt: skip
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    # `main` ends with the code of such an error
    assert getattr(result.exception, "exit_code", result.exit_code) == 2


def test_an_inverted_mask_file_hides_what_is_black(
    image: Path, model_file: Path, tmp_path: Path
) -> None:
    white = torch.zeros(1, 28, 28)
    white[:, :, :10] = 1
    write_image(tmp_path / "mask.png", white)
    words = ["inpaint", str(image), "--model", str(model_file), "--out", str(tmp_path / "out")]

    def missing(*mask: str) -> Result:
        return CliRunner().invoke(app, [*words, *QUICK, *mask, "--json"])

    mask = ("--mask", str(tmp_path / "mask.png"))
    assert json.loads(missing(*mask).stdout)["missing_pixels"] == 10 * 28
    assert json.loads(missing(*mask, "--invert-mask").stdout)["missing_pixels"] == 18 * 28
    for useless in (("--mask", "left", "--invert-mask"), ("--noise", "0.1", "--invert-mask")):
        assert "--invert-mask would do nothing here" in str(missing(*useless).exception)
