"""Keeps a library from importing at once what it hardly ever needs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


@contextmanager
def deferred_import(module: str, name: str) -> Iterator[None]:
    """Lets `from module import name` in the block succeed without importing the module.

    What is imported so is a stand-in, which imports the module once an attribute of it is used.
    A module that is imported already stays as it is.

    Args:
        module: a submodule, such as `scipy.stats`; its package is imported.
        name: the one thing that the block's imports take from it.
    """
    if module in sys.modules:
        yield
        return
    placeholder = ModuleType(module)
    setattr(placeholder, name, _Deferred(module, name))
    sys.modules[module] = placeholder
    try:
        yield
    finally:
        del sys.modules[module]


class _Deferred:
    """Stands for one thing of a module that is not imported yet."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(getattr(import_module(self._module), self._name), attribute)
