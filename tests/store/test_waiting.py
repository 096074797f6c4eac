"""Who waits for something outside gets it in time, or not at all."""

import threading

import pytest

from paecli.store.waiting import within


def test_what_comes_in_time_is_returned_and_kept() -> None:
    discarded: list[int] = []
    assert within(20, lambda: 3, discard=discarded.append) == 3
    assert discarded == []


def test_what_comes_too_late_is_closed() -> None:
    released, closed = threading.Event(), threading.Event()
    discarded: list[bool] = []

    def discard(value: bool) -> None:
        discarded.append(value)
        closed.set()

    with pytest.raises(TimeoutError):
        within(0.05, lambda: released.wait(20), discard=discard)
    assert discarded == []
    released.set()
    assert closed.wait(20)
    assert discarded == [True]


def test_a_failure_is_told_where_it_is_waited_for() -> None:
    def fail() -> None:
        raise OSError("no such host")

    with pytest.raises(OSError, match="no such host"):
        within(20, fail, discard=lambda _: None)
