"""Remembers what a command says while it works."""

from paecli.system.progress import NullProgress


class Listener(NullProgress):
    """Keeps each message as a line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)
