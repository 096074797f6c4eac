"""File names as text that every file and terminal can take."""

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
