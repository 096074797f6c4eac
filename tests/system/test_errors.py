"""The error tree and the exit codes that scripts rely on."""

import inspect

import pytest

from paecli.system import errors
from paecli.system.errors import PaeError

TREE = {
    "PaeError": ("Exception", 1),
    "UsageError": ("PaeError", 2),
    "ConfigError": ("PaeError", 1),
    "DataError": ("PaeError", 1),
    "ImageError": ("DataError", 1),
    "CheckpointError": ("PaeError", 1),
    "RegistryError": ("PaeError", 1),
    "TrainingError": ("PaeError", 1),
    "WriteError": ("PaeError", 1),
}


def test_error_tree_is_what_scripts_rely_on() -> None:
    classes = inspect.getmembers(errors, inspect.isclass)
    tree = {name: (kind.__base__.__name__, kind.exit_code) for name, kind in classes}
    assert tree == TREE


@pytest.mark.parametrize("name", TREE)
def test_every_error_keeps_its_message_and_says_what_it_is_for(name: str) -> None:
    kind: type[PaeError] = getattr(errors, name)
    assert str(kind("what, where, what next")) == "what, where, what next"
    assert kind.__doc__
