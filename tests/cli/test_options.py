"""Options that commands share: what each lets through, and what it says of the rest."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from paecli.cli import options
from paecli.store.sources import REGISTRY_VARIABLE
from paecli.system.destination import STANDARD_OUTPUT
from paecli.system.errors import UsageError


@pytest.mark.parametrize(
    ("files", "as_json", "fits"),
    [(("-", None), False, True), (("-", "a"), False, True), (("a", "b"), True, True),
     (("-", "-"), False, False), (("-", None), True, False), ((), True, True)],
)  # fmt: skip
def test_standard_output_takes_one_output(
    files: tuple[str | None, ...], as_json: bool, fits: bool
) -> None:
    paths = [None if each is None else options.output_file(each) for each in files]
    if fits:
        options.one_on_standard_output(*paths, as_json=as_json)
        return
    with pytest.raises(UsageError, match="standard output takes one output"):
        options.one_on_standard_output(*paths, as_json=as_json)


def test_a_dash_is_standard_output() -> None:
    assert options.output_file("-") is STANDARD_OUTPUT
    assert options.output_file("./-") == Path("-") != STANDARD_OUTPUT
    assert options.output_file("a.csv") == Path("a.csv")


def test_a_folder_is_no_file_and_no_picture(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for right in (tmp_path, tmp_path / "new", tmp_path / "folder.png"):
        assert options._folder(right) == right
    assert options._no_file(None) is None
    with pytest.raises(typer.BadParameter, match=r"is a file; give a folder"):
        options._folder(tmp_path / "file")
    with pytest.raises(typer.BadParameter, match=r"looks like one picture; .* such as .*new"):
        options._folder(tmp_path / "new.PNG")


def context(**sources: str) -> Any:
    found = {name: SimpleNamespace(name=source) for name, source in sources.items()}
    return SimpleNamespace(get_parameter_source=found.get)


def test_only_what_was_typed_is_useless() -> None:
    typed = context(
        data_dir="COMMANDLINE", seed="DEFAULT", limit="ENVIRONMENT", no_flow="COMMANDLINE"
    )
    options.refuse_useless(typed, ("seed", "limit", "unknown"), "why")
    with pytest.raises(UsageError) as refused:
        options.refuse_useless(typed, ("seed", "data_dir", "no_flow"), "both are files")
    expected = "--data-dir, --no-flow would do nothing here: both are files"
    assert str(refused.value) == expected


def test_one_model_is_named_once() -> None:
    assert options.one_model("a", None) == options.one_model(None, "a") == "a"
    assert options.one_model(None, None) is None
    with pytest.raises(UsageError, match="two models are named, a and b"):
        options.one_model("a", "b")


@pytest.mark.parametrize("before", [None, "https://b.c"])
def test_a_registry_serves_for_one_command(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(REGISTRY_VARIABLE, raising=False)
    if before is not None:
        monkeypatch.setenv(REGISTRY_VARIABLE, before)
    at_end: list[Any] = []
    command: Any = SimpleNamespace(call_on_close=at_end.append)
    assert options._use_registry(command, None) is None
    assert not at_end
    assert options._use_registry(command, "/a") == "/a"
    assert os.environ[REGISTRY_VARIABLE] == "/a"
    for each in at_end:
        each()
    assert os.environ.get(REGISTRY_VARIABLE) == before


@pytest.mark.parametrize("text", ["0", "-1", "1025", "2.5", "many", ""])
def test_threads_are_a_number_or_auto(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="give auto or a number from 1 to 1024"):
        options._use_threads(text)
