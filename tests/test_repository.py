"""The files beside the package: they name what is there, in the version that is there."""

import re
from pathlib import Path

import pytest
import yaml

import paecli

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _in_a_checkout() -> None:
    if not (ROOT / "Dockerfile").is_file():
        pytest.skip("an sdist has no such files")


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == paecli.__version__
    assert citation["license"] == "MIT"
    for key in ("cff-version", "message", "title", "authors"):
        assert citation[key], key


def test_the_changelog_has_this_version_or_changes_to_come() -> None:
    headings = [
        line.split()[1].strip("[]")
        for line in (ROOT / "CHANGELOG.md").read_text().splitlines()
        if line.startswith("## ")
    ]
    assert headings[0] in ("Unreleased", paecli.__version__)
    assert paecli.__version__ in headings


def test_the_workflow_runs_what_ci_runs_on_every_supported_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    job = workflow["jobs"]["test"]
    classifiers = (ROOT / "pyproject.toml").read_text()
    for version in job["strategy"]["matrix"]["python"]:
        assert f"Programming Language :: Python :: {version}" in classifiers
    assert job["steps"][-1]["run"].endswith(".ci/run")
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_the_image_copies_what_exists() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [
        line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line
    ]
    for name in [name for names in copied for name in names]:
        assert (ROOT / name).exists(), name
    assert "USER pae" in lines


def test_the_table_has_every_variable_that_is_read() -> None:
    source = "".join(file.read_text() for file in Path(paecli.__file__).parent.rglob("*.py"))
    read = set(re.findall(r'"(PAE_[A-Z_]+)"', source))
    table = set(
        re.findall(r"^\| `(PAE_[A-Z_]+)`", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    )
    assert table == read
