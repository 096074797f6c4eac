"""Jobs of the page: one of a kind at a time, and each can be stopped while it computes."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from threading import Event
from typing import TypeVar

from torch import nn

from paecli.system.errors import PaeError

T = TypeVar("T")
MOST_WAITING = 8  # jobs of one kind beside the one that runs


class BusyError(PaeError):
    """Too many jobs wait already."""


class StoppedError(Exception):
    """Ends a job that nobody waits for any more."""


class Job:
    """One piece of work: told to stop by the server, asks at every pass through a network.

    Attributes:
        passes: of batches through the model's networks so far.
        running: whether its turn has come.
    """

    def __init__(self) -> None:
        """Starts before its turn."""
        self.passes, self.running = 0, False
        self._stop = Event()

    def stop(self) -> None:
        """Ends the job at its next pass."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether it was told to end; it may be within a pass still."""
        return self._stop.is_set()

    def go_on(self) -> None:
        """Counts a pass.

        Raises:
            StoppedError: the job is to end.
        """
        if self._stop.is_set():
            raise StoppedError
        self.passes += 1


_CURRENT: ContextVar[Job | None] = ContextVar("job", default=None)


@contextmanager
def stoppable(*networks: nn.Module) -> Iterator[None]:
    """Makes every pass through these networks ask whether its job is to go on.

    All that the page computes passes through one of them many times a second, so that no
    mathematics has to know of jobs.
    """

    def ask(*_: object) -> None:
        job = _CURRENT.get()
        if job is not None:
            job.go_on()

    handles = [network.register_forward_pre_hook(ask) for network in networks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Lane:
    """A thread that does jobs in the order they came."""

    def __init__(self) -> None:
        """Starts without jobs."""
        self._thread = ThreadPoolExecutor(1)
        self._jobs: list[Job] = []

    def ahead_of(self, job: Job) -> int:
        """Returns how many jobs have to end before this one begins."""
        return self._jobs.index(job) if job in self._jobs else 0

    async def run(self, job: Job, work: Callable[[], T]) -> T:
        """Does a job once its turn has come; where the caller is cancelled, the job stops.

        Raises:
            BusyError: too many wait already.
            StoppedError: the job was stopped.
        """
        if len(self._jobs) > MOST_WAITING:
            raise BusyError("too many jobs are waiting; try again in a minute")
        self._jobs.append(job)
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, copy_context().run, _begin, job, work
            )
        finally:
            job.stop()
            self._jobs.remove(job)

    def stop(self) -> None:
        """Stops all jobs."""
        for job in self._jobs:
            job.stop()

    def close(self) -> None:
        """Stops all jobs and ends the thread."""
        self.stop()
        self._thread.shutdown(wait=True, cancel_futures=True)


def _begin(job: Job, work: Callable[[], T]) -> T:
    _CURRENT.set(job)
    job.running = True
    job.go_on()
    return work()
