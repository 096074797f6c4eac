"""Runs the server of the page until it is interrupted."""

import asyncio
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from paecli.serve.answers import Answers
from paecli.serve.app import build_app
from paecli.serve.jobs import Lane
from paecli.store.runs import load_scorer
from paecli.system.heap import keep_freed_memory

REQUEST_SECONDS = 10.0  # in which the head of a request must have come
MOST_CONNECTIONS = 64
LAST_SECONDS = 2  # that answers have when the server ends


class PromptProtocol(H11Protocol):
    """HTTP that does not wait for ever for a request to begin."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Sets the clock for the first request."""
        super().connection_made(transport)
        self._late = self.loop.call_later(REQUEST_SECONDS, self._close_if_waiting)

    def data_received(self, data: bytes) -> None:
        """Sets the clock for a later request that begins."""
        super().data_received(data)
        if self._late is None and self._waits():
            self._late = self.loop.call_later(REQUEST_SECONDS, self._close_if_waiting)

    def _waits(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_if_waiting(self) -> None:
        self._late = None
        if self._waits() and not self.transport.is_closing():
            self.transport.close()


def serve(
    model: Path,
    name: str,
    *,
    listening: socket.socket,
    token: str,
    ready: Callable[[], object],
) -> None:
    """Loads a model and serves its page until Ctrl-C or SIGTERM.

    Args:
        model: its file.
        name: what the page calls it.
        listening: from `paecli.serve.address.listen`.
        token: from `paecli.serve.address.new_token`.
        ready: called in a thread once the page answers.
    """
    keep_freed_memory()
    # uvicorn sends the signal that ended it once more; SIGTERM is then answered as Ctrl-C is
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = build_server(Answers(load_scorer(model)[0], name), token=token)
    threading.Thread(target=ready, daemon=True).start()
    server.run([listening])


class Server(uvicorn.Server):
    """Stops its jobs as soon as it is to end, instead of waiting for their answers."""

    def __init__(self, config: uvicorn.Config, lanes: tuple[Lane, ...]) -> None:
        """Takes what does the jobs."""
        super().__init__(config)
        self._lanes = lanes

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends, with all that runs."""
        for lane in self._lanes:
            lane.stop()
        await super().shutdown(sockets)


def build_server(answers: Answers, *, token: str) -> Server:
    """Builds the server; it says nothing of requests, whose addresses hold the token."""
    options: dict[str, Any] = {"http": PromptProtocol, "ws": "none", "lifespan": "on"}
    slow, quick = Lane(), Lane()
    config = uvicorn.Config(
        build_app(answers, token, slow=slow, quick=quick),
        **options,
        access_log=False,
        log_level="error",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=LAST_SECONDS,
    )
    return Server(config, (slow, quick))
