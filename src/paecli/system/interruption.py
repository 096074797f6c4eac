"""Ctrl-C and SIGTERM as a request that the training loop answers between two steps."""

import signal
from types import FrameType, TracebackType


class StopRequest:
    """Remembers, while it is entered, that a signal asked to stop.

    A second Ctrl-C stops at once, as usual.
    """

    def __init__(self) -> None:
        """Starts without a request."""
        self.made = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        """Takes over the signals; does nothing outside the main thread, which owns them."""
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._remember)
        except ValueError:
            self._before = {}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Gives the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _remember(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.made = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
