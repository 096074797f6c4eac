import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from paecli.report.grid import image_grid
from paecli.report.html import Page

VOID = {"meta", "img", "wbr"}


class Reader(HTMLParser):
    """Checks that tags nest, and collects them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def picture() -> bytes:
    return image_grid(torch.rand(4, 1, 28, 28))


def test_texts_are_escaped() -> None:
    evil = "<script>alert('x')</script> & \"more\""
    page = Page(evil)
    page.add_heading(evil)
    page.add_text(evil)
    page.add_table((evil, "b"), [(evil, "1")], caption=evil)
    rendered = page.render()
    assert "<script" not in rendered
    assert Reader(rendered).text.count(evil) == 7


def test_pictures_are_inside_and_described(picture: bytes) -> None:
    page = Page("Pictures")
    page.add_picture(picture, 'four "noisy" squares', "Noise.")
    [image] = [attributes for tag, attributes in Reader(page.render()).tags if tag == "img"]
    assert image["alt"] == 'four "noisy" squares'
    assert (image["width"], image["height"]) == ("114", "114")
    assert b64decode((image["src"] or "").removeprefix("data:image/png;base64,")) == picture


def test_page_needs_no_network_and_fits_screens(picture: bytes) -> None:
    page = Page("Report")
    page.add_picture(picture, "noise")
    page.add_table(("a", "b"), [("1", "2")])
    rendered = page.render()
    assert not re.search(r"https?:|=\"//|url\(|@import|<script|<link", rendered)
    assert "prefers-color-scheme: dark" in rendered
    assert 'name="viewport"' in rendered
    assert 'lang="en"' in rendered
    tables = re.findall(r'<div class="scroll" role="region"[^>]*>\n<table>', rendered)
    assert len(tables) == 1


def test_columns_of_words_align_left() -> None:
    page = Page("Report")
    page.add_table(("set", "score", "AUROC"), [("a", "log_prob", "0.9"), ("", "mse", "-0.1")])
    classes = [attributes.get("class") for tag, attributes in Reader(page.render()).tags
               if tag in ("th", "td")]  # fmt: skip
    assert classes == ["words", "words", None] * 3
    assert "log_prob" in Reader(page.render()).text


def test_a_table_is_named_by_its_caption_or_its_columns(tmp_path: Path) -> None:
    page = Page("Report")
    page.add_table(["name", "AUROC"], [["a", "0.5"]], caption="Scores & sets")
    page.add_table(["name", "AUROC"], [["a", "0.5"]])
    page.save(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert re.findall('aria-label="(.*?)"', text) == ["Scores &amp; sets", "name, AUROC"]
    assert re.findall("<caption>(.*?)</caption>", text) == ["Scores &amp; sets"]


def test_saving_leaves_one_whole_file(tmp_path: Path) -> None:
    page = Page("Größe")
    page.save(tmp_path / "new" / "report.html")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.html"]
    assert "Größe" in (tmp_path / "new" / "report.html").read_text("utf-8")
