"""File names, options and numbers of things as text that every file and terminal can take."""

from collections.abc import Mapping, Sequence
from typing import Any

# what joins letters of Persian and Indian scripts, and emoji, is not printable by itself
JOINERS = "\u200c\u200d"


def escape_name(name: object) -> str:
    r"""Returns a name with what is not UTF-8 as `\xff`, so that it can be encoded.

    Names on disk are bytes. Python keeps those that are not UTF-8 as lone surrogates, which
    no JSON, CSV or HTML file can hold.
    """
    text = str(name)
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character that no name on disk has
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def is_utf8(path: object) -> bool:
    """Tells whether a path can be text in a file, and be given to libraries that want text."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def visible(text: object) -> str:
    r"""Returns text in one line, by which no file name can steer a terminal or hide a part.

    What is not printed is shown as Python writes it: a line break as `\n`, a byte that is not
    UTF-8 as `\xff`, a change of the reading direction as `\u202e`.
    """
    return "".join(
        letter
        if letter.isprintable() or letter in JOINERS
        else letter.encode("unicode_escape").decode("ascii")
        for letter in escape_name(text)
    )


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Returns a number of things: `1 image`, `2,000 images`.

    Args:
        number: how many.
        noun: of one.
        plural: of several, if that is not the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def option_of(path: Sequence[str], flags: Mapping[str, Any]) -> str | None:
    """Returns the option that a setting comes from, as it is typed; None if from none.

    Args:
        path: keys of nested settings, such as `autoencoder`, `optimiser`, `learning_rate`.
        flags: the settings that the command line gave, None where it gave none.
    """
    value: Any = flags
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return None
    name = "augment" if "augment" in path else path[-1]
    return "--" + ("optimiser" if name == "method" else name.replace("_", "-"))
