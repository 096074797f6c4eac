"""The site builds, leads to every page, asks no other host, and its notebooks run."""

import importlib.util
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PROMISE = "**At the end of this page**"

pytestmark = pytest.mark.skipif(
    not (ROOT / "mkdocs.yml").is_file(), reason="an sdist has no sources of the site"
)


def pages(part: str | None = None) -> list[Path]:
    """Lists the pages that the navigation leads to, or those of one part of it."""
    found: list[str] = []
    for entry in yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]:
        for name, content in entry.items():
            below = [{name: content}] if isinstance(content, str) else content
            if part in (None, name):
                found += [page for each in below for page in each.values()]
    return [DOCS / page for page in found]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_navigation_leads_to_every_page() -> None:
    assert sorted(pages()) == sorted(DOCS.glob("*.md"))


WRITTEN = [page for page in pages() if page.stem not in ("index", "cli")]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.stem)
def test_a_page_starts_with_what_one_gets(page: Path) -> None:
    start = page.read_text().split("\n\n", 2)[1]
    assert start.startswith(PROMISE), start


def test_so_does_the_page_that_is_generated(site: Path) -> None:
    html = (site / "cli" / "index.html").read_text()
    assert "<strong>At the end of this page</strong>" in html


def test_every_page_is_there_with_its_pictures(site: Path) -> None:
    for page in pages():
        name = "index.html" if page.stem == "index" else f"{page.stem}/index.html"
        html = (site / name).read_text()
        for source in re.findall(r'<img [^>]*src="([^"]+)"', html):
            assert ((site / name).parent / source).resolve().is_file(), (page, source)


def test_one_script_makes_every_picture_anew() -> None:
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "tools" / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    pictures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pictures)
    made = {*pictures.MADE_BY_COMMANDS, pictures.STAGES, *chain(*pictures.MADE_BY_SCRIPTS)}
    assert made == {file.name for file in (DOCS / "images").iterdir()}
    for line in pictures.MADE_BY_SCRIPTS.values():
        assert (ROOT / line.split()[0]).is_file(), line


def test_no_page_asks_another_host_for_anything(site: Path) -> None:
    kinds = r'script|img|link rel="(?:stylesheet|preconnect)"'
    asked = re.compile(rf'<(?:{kinds})[^>]*(?:src|href)="(https?:)?//')
    for html in site.rglob("*.html"):
        assert not asked.search(html.read_text()), html


def test_formulas_are_drawn_without_a_script(site: Path) -> None:
    html = (site / "how-it-works" / "index.html").read_text()
    assert html.count("<math xmlns") > 15
    assert "arithmatex" not in html


def test_the_reference_has_what_python_offers(site: Path) -> None:
    html = (site / "api" / "index.html").read_text()
    for name in ("load", "PAE", "restore_batch", "p_value", "save", "use_threads", "Restoration"):
        assert name in html


QUICKER = {  # the draws of a restoration take a minute on a busy machine
    "--mask": "--method laplace --mask",
    "seed=1)": 'seed=1, method="laplace")',
    "pae eval": "pae eval mnist-8 --dataset mnist-mini",
}


@pytest.mark.timeout(1500)  # half a minute of one core, which may be shared by many
@pytest.mark.parametrize("name", ["first-steps", "python"])
def test_a_page_runs_as_a_notebook(name: str, site: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(site / "notebooks" / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) >= 5
    for cell in cells:
        for slow, quick in QUICKER.items():
            cell.source = cell.source.replace(slow, quick)
    command = tmp_path / "pae"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m paecli "$@"\n')
    command.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path), prepend=":")
        where = {"metadata": {"path": str(tmp_path)}}
        NotebookClient(notebook, timeout=700, kernel_name="python3", resources=where).execute()
