"""`pae recalibrate` as a user calls it."""

import json
from pathlib import Path

import pytest
from torch import Tensor
from typer.testing import CliRunner

from paecli.cli.app import app
from paecli.cli.commands.recalibrate import ONE_POINT
from paecli.data import write_image
from paecli.outliers.recalibrate import _further_rate
from paecli.store.runs import load_with_header
from paecli.system.errors import DataError, UsageError

runner = CliRunner()


@pytest.fixture
def recent(tmp_path: Path, blobs: Tensor) -> Path:
    for number in range(110):
        write_image(tmp_path / "recent" / f"{number}.png", 0.97 * blobs[number])
    (tmp_path / "recent" / "broken.png").write_bytes(b"\x89PNG")
    return tmp_path / "recent"


def test_it_says_how_far_the_rate_may_be_off(recent: Path, model_file: Path) -> None:
    out = recent.parent / "new"
    command = ["recalibrate", str(model_file), str(recent), "--out", str(out)]
    result = runner.invoke(app, [*command, "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["images"], told["unreadable"]) == (110, 1)
    low, high = told["rate_interval"]
    assert low < 0.05 < high
    assert len(load_with_header(out / "model.safetensors")[0].reference_scores["log_prob"]) == 110
    again = runner.invoke(app, command)
    assert isinstance(again.exception, UsageError)
    assert "exists" in str(again.exception)
    words = runner.invoke(app, [*command[:-1], str(out / "other.safetensors")]).stderr
    assert f"from {low:.1%} to {high:.1%}" in " ".join(words.split())
    assert "2,000 images keep it within one point" in " ".join(words.split())


def test_so_many_images_keep_the_rate_within_one_point() -> None:
    _, (low, high) = _further_rate(ONE_POINT)
    assert 0.04 <= low < high <= 0.06 + 5e-5
    _, (low, high) = _further_rate(ONE_POINT * 9 // 10)
    assert high > 0.06 + 5e-5


def test_too_few_images_write_nothing(recent: Path, model_file: Path) -> None:
    for file in list(recent.iterdir())[20:]:
        file.unlink()
    out = recent.parent / "new"
    result = runner.invoke(app, ["recalibrate", str(model_file), str(recent), "--out", str(out)])
    assert isinstance(result.exception, DataError)
    assert "too few" in str(result.exception)
    assert not out.exists()
