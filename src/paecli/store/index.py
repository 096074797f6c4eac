"""The registry index: what there is, which files it consists of, and their hashes."""

from typing import Annotated, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from paecli.system.errors import RegistryError
from paecli.system.yaml_text import parse_yaml

SCHEMA_VERSION: Final = 1
INDEX_FILE = "index.yaml"
MAX_INDEX_BYTES = 1_000_000  # some three thousand entries
MAX_FILE_BYTES = 64 * 2**30

Kind = Literal["model", "data", "features"]

# A name is one path component that no system reads as anything else: no separators, no
# leading dot or dash, no drive letters. So a path made from it cannot leave its folder.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Url = Annotated[str, Field(pattern=r"^https://[^\s@]+$", max_length=2000)]


class _Part(BaseModel):
    """A part of the index; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class IndexFile(_Part):
    """One file of an entry.

    Attributes:
        path: the file's name, beside the index and in the cache.
        size: in bytes.
        sha256: of its content, 64 hexadecimal digits.
        url: where it is when it is not beside the index.
    """

    path: FileName
    size: int = Field(ge=1, le=MAX_FILE_BYTES)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    url: Url | None = None


class Entry(_Part):
    """A model, a data sample or a feature network, in one revision."""

    name: Name
    kind: Kind
    revision: int = Field(1, ge=1)
    description: str = Field("", max_length=2000)
    licence: str = Field("", max_length=100)
    metrics: dict[str, float] = Field({}, max_length=200)
    files: tuple[IndexFile, ...] = Field(min_length=1, max_length=100)


class Index(_Part):
    """All entries of a registry."""

    schema_version: Literal[1] = SCHEMA_VERSION
    entries: tuple[Entry, ...] = ()

    @field_validator("entries")
    @classmethod
    def _names_are_unique(cls, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        if len({(entry.name, entry.revision) for entry in entries}) < len(entries):
            raise ValueError("two entries share a name and a revision")
        if len({(entry.name, entry.kind) for entry in entries}) > len({e.name for e in entries}):
            raise ValueError("one name stands for two kinds of things")
        return entries

    def find(self, name: str, revision: int | None = None) -> Entry | None:
        """Returns an entry in this revision, by default the newest, or None."""
        found = [
            entry
            for entry in self.entries
            if entry.name == name and revision in (None, entry.revision)
        ]
        return max(found, key=lambda entry: entry.revision, default=None)


def parse_index(text: str, *, where: str) -> Index:
    """Reads an index.

    Args:
        text: YAML.
        where: the registry's address, for messages.

    Raises:
        RegistryError: not YAML, of another schema version, or not valid.
    """
    if len(text) > MAX_INDEX_BYTES:
        raise RegistryError(f"the index of {where} is larger than {MAX_INDEX_BYTES} bytes")
    try:
        content = parse_yaml(text)
    except yaml.YAMLError as error:
        raise RegistryError(
            f"the index of {where} is not valid YAML; check the registry's address"
        ) from error
    if not isinstance(content, dict) or "schema_version" not in content:
        raise RegistryError(f"{where} has no registry index; check the registry's address")
    if content["schema_version"] != SCHEMA_VERSION:
        raise RegistryError(
            f"the index of {where} has schema version {content['schema_version']!r:.20}, "
            f"this pae reads {SCHEMA_VERSION}; upgrade with `pipx upgrade paecli`"
        )
    return _validated(content, where)


def index_to_yaml(index: Index) -> str:
    """Writes an index as YAML that `parse_index` reads back."""
    fields = index.model_dump(mode="json", exclude_none=True)
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)


def _validated(content: object, where: str) -> Index:
    try:
        return Index.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RegistryError(
            f"the index of {where} is damaged at {key!r:.80}: {first['msg'].lower()}"
        ) from error
