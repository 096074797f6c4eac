"""Ctrl-C, SIGTERM and a closed terminal as a request to stop, answered between two steps."""

import signal
from types import FrameType, TracebackType


def _signals() -> list[int]:
    """Returns the signals that ask to stop; `nohup` makes a closed terminal none of them."""
    asked = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        asked.append(hangup)
    return list(asked)


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
            for number in _signals():
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
