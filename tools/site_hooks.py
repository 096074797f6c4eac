"""What mkdocs does beside its plugins: formulas, links to the code, pages as notebooks."""

import html
import re
from pathlib import Path
from typing import Any

import jupytext
from latex2mathml.converter import convert

FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)
OUTSIDE = re.compile(r"\[(?P<text>[^\]]+)\]\((?:\.\./)+(?P<path>[^)]+)\)")
COMMANDS_PROMISE = "**At the end of this page** you know every command with all its options."
NOTEBOOKS = ("first-steps.md", "python.md")  # pages that are offered as notebooks, too
KERNEL = """---
jupyter:
  kernelspec: {name: python3, language: python, display_name: Python 3}
---
"""


def as_notebook(markdown: str) -> Any:
    """Turns a page into a notebook: what is in Python or the shell becomes a cell."""
    notebook = jupytext.reads(KERNEL + markdown, fmt="md")
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip()]
    return notebook


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Shows files outside of docs/ by their path, since they are not part of the site."""
    markdown = OUTSIDE.sub(lambda found: f"{found['text']} (`{found['path']}`)", markdown)
    if page.file.src_path == "cli.md":  # generated from the commands' help
        title, rest = markdown.split("\n\n", 1)
        markdown = f"{title}\n\n{COMMANDS_PROMISE}\n\n{rest}"
    if page.file.src_path in NOTEBOOKS:
        name = Path(page.file.src_path).stem
        address = f"../notebooks/{name}.ipynb"
        markdown += f'\n\n<a href="{address}" download>This page as a notebook</a>\n'
    return markdown


def on_page_content(content: str, **_: Any) -> str:
    """Writes formulas as MathML, which browsers draw without a script."""

    def as_mathml(found: re.Match[str]) -> str:
        display = "block" if found["tag"] == "div" else "inline"
        formula = str(convert(html.unescape(found["latex"]).strip(), display=display))
        # on a phone a long formula is pushed aside, and not the whole page
        scrolls = f'<div style="overflow-x: auto">{formula}</div>'
        return scrolls if display == "block" else formula

    return FORMULA.sub(as_mathml, content)


def on_post_build(config: Any, **_: Any) -> None:
    """Writes the notebooks beside the pages."""
    folder = Path(config.site_dir) / "notebooks"
    folder.mkdir(exist_ok=True)
    for name in NOTEBOOKS:
        notebook = as_notebook((Path(config.docs_dir) / name).read_text())
        jupytext.write(notebook, folder / Path(name).with_suffix(".ipynb").name)
