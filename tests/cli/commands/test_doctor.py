import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from paecli.cli.app import app


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "cache"))


def examine(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["doctor", "--json", *arguments])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def test_json_tells_versions_cache_registry_and_data_sets(tmp_path: Path) -> None:
    found = examine("--registry", "bundled")
    assert {"python", "torch", "paecli"} <= set(found["versions"])
    assert found["cache"] == str(tmp_path / "cache")
    assert found["cache_bytes"] == 0
    assert found["cache_writable"] is True
    assert found["registry"]["address"] == "bundled"
    assert found["registry"]["problem"] == ""
    assert found["registry"]["entries"] >= 1
    assert found["datasets"]["fmnist-mini"] == "bundled"


def test_a_registry_that_does_not_answer_is_a_finding_not_a_failure() -> None:
    found = examine("--registry", "http://127.0.0.1:9")
    assert "no connection" in found["registry"]["problem"]
    assert found["registry"]["entries"] == 0


def test_data_sets_are_found_in_the_folder_given(tmp_path: Path) -> None:
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{part}-ubyte.gz").write_bytes(b"")
    found = examine("--registry", "bundled", "--data-dir", str(tmp_path))
    assert found["datasets"]["fmnist"] == str(folder)


def test_without_json_it_is_one_table_on_standard_error() -> None:
    result = CliRunner().invoke(app, ["doctor", "--registry", "bundled"])
    assert result.stdout == ""
    assert "fast bfloat16" in result.stderr


def test_a_file_in_the_place_of_the_cache_is_not_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "file"))
    assert examine("--registry", "bundled")["cache_writable"] is False
