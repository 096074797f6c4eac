"""A report as one web page that needs no network: text, tables and pictures in one file."""

import struct
from base64 import b64encode
from collections.abc import Sequence
from html import escape as escape_markup
from importlib import resources
from pathlib import Path

from paecli import __version__
from paecli.system.files import write_atomically
from paecli.system.names import visible

PAGE_FILE = "report.html"  # what a page is called in its folder
WIDE = 2  # width over height from which a picture is not shrunk to a small screen
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{parts}
</main>
<footer>Made by pae {version}.</footer>
</body>
</html>
"""


class Page:
    """Collects the parts of a page in reading order; every text is escaped.

    >>> page = Page("Evaluation of runs/fmnist")
    >>> page.add_heading("Reconstruction")
    >>> page.add_table(("data", "MSE"), [("test", "0.0064")])
    >>> page.save(Path("report.html"))  # doctest: +SKIP
    """

    def __init__(self, title: str) -> None:
        """Starts an empty page."""
        self._title = title
        self._parts: list[str] = []

    def add_heading(self, text: str) -> None:
        """Starts a section."""
        self._parts.append(f"<h2>{escape(text)}</h2>")

    def add_text(self, text: str) -> None:
        """Adds a paragraph."""
        self._parts.append(f"<p>{escape(text)}</p>")

    def add_table(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = ""
    ) -> None:
        """Adds a table; columns of numbers align right.

        A table wider than the screen scrolls by itself, not the whole page.
        """
        worded = [not any(_is_number(row[place]) for row in rows) for place in range(len(columns))]
        name = escape(caption or ", ".join(columns))
        title = f"<caption>{escape(caption)}</caption>" if caption else ""
        head = _cells(columns, "th scope=col", worded)
        body = "\n".join(_cells(row, "td", worded) for row in rows)
        self._parts.append(
            f'<div class="scroll" role="region" tabindex="0" aria-label="{name}">\n'
            f"<table>{title}\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody></table></div>"
        )

    def add_picture(self, png: bytes, alt: str, caption: str = "") -> None:
        """Adds a picture, stored inside the page.

        Args:
            png: a PNG file. On a small screen a wide one scrolls by itself and stays readable.
            alt: what is to be seen, for those who cannot see it.
            caption: a text below the picture.
        """
        width, height = struct.unpack(">II", png[16:24])  # the size in PNG's first chunk
        shape = "wide" if width > WIDE * height else "plain"
        data = b64encode(png).decode("ascii")
        below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        self._parts.append(
            f'<figure><div class="scroll" tabindex="0"><img class="{shape}" alt="{escape(alt)}" '
            f'width="{width}" height="{height}" src="data:image/png;base64,{data}"></div>'
            f"{below}</figure>"
        )

    def render(self) -> str:
        """Returns the whole page."""
        style = (resources.files("paecli.report") / "page.css").read_text("utf-8")
        return PAGE.format(
            title=escape(self._title),
            style=style,
            parts="\n".join(self._parts),
            version=escape(__version__),
        )

    def save(self, path: Path) -> None:
        """Writes the page; readers see the old or the new one, never half.

        Raises:
            WriteError: the file cannot be written.
        """
        write_atomically(path, self.render().encode("utf-8"))


def escape(text: str) -> str:
    """Returns any text, such as a file name, as HTML that shows it."""
    return escape_markup(visible(text))


def _cells(texts: Sequence[str], tag: str, worded: Sequence[bool]) -> str:
    closing = tag.split()[0]
    cells = (
        f"<{tag}{' class=words' * words}>{_breakable(text)}</{closing}>"
        for text, words in zip(texts, worded, strict=True)
    )
    return "<tr>" + "".join(cells) + "</tr>"


def _breakable(text: str) -> str:
    """Escapes a text; long names may break after an underscore or a slash."""
    return escape(text).replace("_", "_<wbr>").replace("/", "/<wbr>")


def _is_number(text: str) -> bool:
    return text[:1].isdigit() or (text[:1] in "-+." and text[1:2].isdigit())
