"""The code blocks of the documents, and which of them are not run."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md",
    *sorted(set((ROOT / "docs").glob("*.md")) - {ROOT / "docs" / "cli.md"}),
)  # fmt: skip
NOT_RUN = re.compile(r"<!-- not run: (?P<reason>[^>]+) -->\s*\Z")
SHELL = ("", "sh", "bash", "shell")
USAGE = "console"  # how a command is called, in the reference that Typer writes


@dataclass(frozen=True)
class Block:
    """A code block of a document.

    Attributes:
        document: the Markdown file.
        line: where its code begins, from 1.
        language: `python`, `yaml`, ... or empty, which is the shell.
        code: its text.
        reason: why it is not run; empty if it is.
    """

    document: Path
    line: int
    language: str
    code: str
    reason: str

    @property
    def name(self) -> str:
        """Says where it is."""
        return f"{self.document.name}:{self.line}"

    @property
    def is_python(self) -> bool:
        """Tells whether it is Python; indented blocks name no language."""
        return self.language == "python" or bool(re.match(r"(from|import) \w", self.code))

    def commands(self) -> list[list[str]]:
        """Returns its command lines, as the shell takes them apart."""
        whole = self.code.replace("\\\n", " ")
        lines = [shlex.split(line, comments=True) for line in whole.splitlines()]
        return [line for line in lines if line]


def find_blocks(document: Path) -> list[Block]:
    """Lists the code blocks of a document; the comment before one says why it is not run."""
    blocks = []
    reason = ""
    for token in MarkdownIt().parse(document.read_text()):
        if token.type == "html_block":
            found = NOT_RUN.search(token.content)
            reason = found["reason"] if found else ""
        elif token.type in ("fence", "code_block"):
            assert token.map is not None
            first = token.map[0] + (2 if token.type == "fence" else 1)
            language = token.info.strip()
            if language != USAGE:
                blocks.append(Block(document, first, language, token.content, reason))
            reason = ""
        elif token.type.endswith("_open"):
            reason = ""
    return blocks
