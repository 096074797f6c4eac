"""How long jobs tell somebody how far they are; knows nothing of any terminal."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

GAP = "  "  # between figures


class Task(Protocol):
    """One running piece of work with a known number of steps."""

    def advance(self, steps: int = 1, **shown: str) -> None:
        """Moves on by `steps`; `shown` are short texts to show beside the bar."""


class Progress(Protocol):
    """What jobs report to."""

    def task(self, description: str, total: int) -> AbstractContextManager[Task]:
        """Opens a piece of work of `total` steps."""

    def say(self, message: str) -> None:
        """Passes on one line that the user should see."""


class NullTask:
    """Ignores every report."""

    def advance(self, steps: int = 1, **shown: str) -> None:
        """Does nothing."""


class NullProgress:
    """The default for library use: silent."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Task]:
        """Yields a task that ignores reports."""
        del description, total
        yield NullTask()

    def say(self, message: str) -> None:
        """Does nothing."""


def as_text(shown: Mapping[str, str]) -> str:
    """Returns the short texts beside a bar as one line."""
    return GAP.join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items())
