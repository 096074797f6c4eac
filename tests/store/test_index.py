"""The index reader against honest, damaged and hostile indexes."""

import contextlib
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paecli.store.cache import cached_file
from paecli.store.index import (
    MAX_INDEX_BYTES,
    Entry,
    Index,
    IndexFile,
    index_to_yaml,
    parse_index,
)
from paecli.system.errors import RegistryError

FILE = {"path": "a.safetensors", "size": 3, "sha256": "0123456789abcdef" * 4}
ENTRY = {"name": "a", "kind": "model", "files": [FILE]}


def entry(**changes: object) -> Entry:
    return Entry.model_validate({**ENTRY, **changes})


def read(text: str) -> Index:
    return parse_index(text, where="test")


def test_an_index_survives_being_written_and_read() -> None:
    digits = "1" * 64  # YAML would read it as a number
    index = Index(
        entries=(
            entry(metrics={"test_mse": 0.00642}, description="Größe: 'a'", licence="MIT"),
            entry(revision=2, files=[{**FILE, "sha256": digits}]),
        )
    )
    assert read(index_to_yaml(index)) == index


def test_the_newest_revision_is_found() -> None:
    index = Index(entries=(entry(revision=2), entry(revision=10), entry(revision=1)))
    assert index.find("a") == index.entries[1]
    assert index.find("a", 1) == index.entries[2]
    assert index.find("a", 3) is None
    assert index.find("b") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no registry index"),
        ("- 1", "no registry index"),
        ("<html>no</html>", "no registry index"),
        ("a: [", "not valid YAML"),
        ("[" * 5000, "not valid YAML"),
        ("a: &x [1]\nb: *x", "not valid YAML"),
        ("!!python/object/apply:os.system [ls]", "not valid YAML"),
        ("x" * (MAX_INDEX_BYTES + 1), "larger than"),
        ("schema_version: 2", "schema version 2, this pae reads 1; upgrade"),
        ("schema_version: 1\nsurprise: 1", "damaged at 'surprise'"),
        ("schema_version: 1\nentries: [{name: ../x}]", "damaged at 'entries.0.name'"),
    ],
)
def test_bad_indexes_end_in_one_line(text: str, message: str) -> None:
    with pytest.raises(RegistryError, match=message) as caught:
        read(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "-rf"},
        {"name": "a/b"},
        {"kind": "program"},
        {"revision": 0},
        {"metrics": {"mse": float("nan")}},
        {"files": []},
        {"files": [{**FILE, "size": 2**60}]},
        {"files": [{**FILE, "sha256": "6726825d"}]},
        {"files": [{**FILE, "url": "file:///etc/passwd"}]},
        {"files": [{**FILE, "url": "http://example.org/a"}]},
        {"files": [{**FILE, "url": "https://user:secret@example.org/a"}]},
    ],
)
def test_entries_that_promise_too_little_or_reach_too_far_are_refused(
    changes: dict[str, object],
) -> None:
    with pytest.raises(ValueError, match="validation error"):
        entry(**changes)


def test_a_name_stands_for_one_thing() -> None:
    with pytest.raises(ValueError, match="share a name"):
        Index(entries=(entry(), entry()))
    with pytest.raises(ValueError, match="two kinds"):
        Index(entries=(entry(), entry(kind="data", revision=2)))


@given(
    st.text(max_size=40) | st.sampled_from(["..", ".", "a/../../b", "C:x", "\\\\host\\x", "a\n"])
)
def test_no_accepted_path_leaves_its_folder(name: str) -> None:
    try:
        file = IndexFile.model_validate({**FILE, "path": name})
    except ValueError:
        return
    for flavour in (PurePosixPath, PureWindowsPath):
        path = flavour("folder") / file.path
        assert path.parent == flavour("folder")
        assert path.name == name
    assert cached_file(file).name == name
    assert "\n" not in name


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(RegistryError):
        assert read("schema_version: 1\n" + text) == Index()
