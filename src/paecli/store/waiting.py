"""Work for others that is waited for only so long."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T], *, discard: Callable[[T], object]) -> T:
    """Returns what `work` returns, unless that takes longer than this waits.

    It runs in a thread, which nothing can end: given up, it goes on until it fails, finishes or
    the program ends. So `work` should wait for others and not compute. Timeouts of sockets do not
    do: each byte that drips in begins them anew, and names are looked up without any.

    Args:
        seconds: how long to wait.
        work: takes no arguments.
        discard: is given a result that comes too late, to close it.

    Raises:
        TimeoutError: it takes longer.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    def drop(late: Future[T]) -> None:
        if late.exception() is None:
            discard(late.result())

    Thread(target=run, daemon=True).start()
    try:
        return outcome.result(seconds)
    except BaseException:  # the time is over, or the user interrupts
        outcome.add_done_callback(drop)
        raise
