"""Reading YAML that somebody else may have written: bounded, without aliases or tags."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

MAX_CONFIG_BYTES = 1_000_000
# octal and sexagesimal: 010 would be 8 and 1:30 would be 90, which nobody means any more
OTHER_BASE = re.compile(r"[-+]?(0[0-7_]+|[0-9_]+(:[0-9]+)+(\.[0-9_]*)?)")


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML that means what it shows.

    Without aliases, so that no file can expand into more than it says, with every key once, and
    with decimal numbers only.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        if getattr(self.peek_event(), "tag", None) is not None:  # type: ignore[no-untyped-call]
            raise yaml.YAMLError("tags are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        mapping = super().construct_mapping(node, deep=deep)
        twice = [key for key, count in Counter(keys).items() if count > 1]
        if twice:
            raise yaml.YAMLError(f"the key {twice[0]!r:.100} is given more than once")
        return mapping

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        if OTHER_BASE.fullmatch(node.value):
            raise yaml.YAMLError(
                f"{node.value:.100} would be read as another number; write it without a 0 in front "
                "and without colons, or in quotes"
            )
        read = self.construct_yaml_int if node.tag == INTEGER else self.construct_yaml_float
        number: int | float = read(node)
        return number


INTEGER, FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
for tag in (INTEGER, FLOAT):
    _PlainLoader.add_constructor(tag, _PlainLoader.construct_number)


def parse_yaml(text: str) -> object:
    """Reads YAML text without aliases or tags.

    Raises:
        yaml.YAMLError: not YAML, nested too deeply, it uses aliases or tags, or a key twice.
    """
    try:
        return yaml.load(text, Loader=_PlainLoader)
    except (ValueError, OverflowError, RecursionError) as error:
        # such as the date 2001-99-99, which looks like one and is none
        raise yaml.YAMLError(f"a value cannot be read ({error})") from error


def read_bounded_text(file: Path, limit: int) -> str:
    """Reads a text file of at most `limit` bytes, whatever the file system says of its size.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger, or no UTF-8 text.
    """
    with file.open("rb") as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it is larger than {limit:,} bytes")
    return content.decode("utf-8")
