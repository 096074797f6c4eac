"""Remembers what a command says while it works."""

from collections.abc import Iterator
from contextlib import contextmanager

from paecli.system.progress import NullProgress, Task


class Listener(NullProgress):
    """Keeps each message as a line, and of each piece of work its steps and those done."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.work: dict[str, list[int]] = {}

    def say(self, message: str) -> None:
        self.lines.append(message)

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Task]:
        self.work[description] = [total, 0]
        yield _Counter(self.work[description])


class _Counter:
    def __init__(self, steps: list[int]) -> None:
        self.steps = steps

    def advance(self, steps: int = 1, **shown: str) -> None:
        self.steps[1] += steps
