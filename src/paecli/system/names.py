"""File names as text that every file and terminal can take."""


def escape_name(name: object) -> str:
    r"""Returns a name with what is not UTF-8 as `\xff`, so that it can be encoded.

    Names on disk are bytes. Python keeps those that are not UTF-8 as lone surrogates, which
    no JSON, CSV or HTML file can hold.
    """
    return str(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
