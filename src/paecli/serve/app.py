"""The page and what it may ask: addresses, and how requests become jobs."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib import resources
from typing import TypeVar

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from paecli.serve.answers import Answers, Fields
from paecli.serve.guard import Guard, refusal
from paecli.serve.jobs import BusyError, Job, Lane, StoppedError, stoppable
from paecli.serve.uploads import Draw, Find, Interpolate, OneImage, Restore, read
from paecli.system.errors import PaeError

TELL_EVERY = 0.25  # seconds between two lines on a restoration's progress
ASSETS = {"app.js": "text/javascript", "style.css": "text/css"}  # all that is ever read from disk
STATUS = {BusyError: 503, PaeError: 400}
GONE = 499  # nobody reads it
Asked = TypeVar("Asked", bound=BaseModel)
Handler = Callable[[Request], Awaitable[Response]]


def build_app(answers: Answers, token: str, *, slow: Lane, quick: Lane) -> ASGIApp:
    """Builds what answers all requests.

    Args:
        answers: by the model.
        token: without which nothing is answered.
        slow: does restorations and searches; it is closed when the server ends.
        quick: does the rest, so that nobody waits for a sample because a search is long.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        with stoppable(*answers.networks):
            yield
            slow.close()
            quick.close()

    async def about(_: Request) -> Response:
        return JSONResponse(answers.about())

    async def restore(request: Request) -> Response:
        asked = await read(request, Restore)
        lines = _progress(request, slow, lambda: answers.restore(asked))
        return StreamingResponse(lines, media_type="application/x-ndjson")

    def post(path: str, kind: type[Asked], lane: Lane, work: Callable[[Asked], Fields]) -> Route:
        async def answer(request: Request) -> Response:
            asked, job = await read(request, kind), Job()
            async with _stopped_with(request, job):
                return JSONResponse(await lane.run(job, lambda: work(asked)))

        return Route(f"/api/{path}", answer, methods=["POST"])

    routes = [
        Route("/", _page(token)),
        *(Route(f"/{name}", _asset(name)) for name in ASSETS),
        Route("/api/model", about),
        Route("/api/restore", restore, methods=["POST"]),
        post("preview", OneImage, quick, answers.preview),
        post("find", Find, slow, answers.find),
        post("samples", Draw, quick, answers.samples),
        post("path", Interpolate, quick, answers.path),
        post("directions", OneImage, quick, answers.directions),
    ]
    handlers = {
        PaeError: _say,
        HTTPException: _say_http,
        StoppedError: _nothing,
        ClientDisconnect: _nothing,
        Exception: _fault,
    }
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)  # type: ignore[arg-type]
    return Guard(app, token=token)


def _page(token: str) -> Handler:
    page = _read("page.html").replace("{token}", token)

    async def show(_: Request) -> Response:
        return HTMLResponse(page)

    return show


def _asset(name: str) -> Handler:
    content, kind = _read(name), ASSETS[name]

    async def show(_: Request) -> Response:
        return Response(content, media_type=kind)

    return show


def _read(name: str) -> str:
    return (resources.files("paecli.serve") / name).read_text("utf-8")


@asynccontextmanager
async def _stopped_with(request: Request, job: Job) -> AsyncIterator[None]:
    """Stops a job when the connection drops."""

    async def listen() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        job.stop()

    listening = asyncio.create_task(listen())
    try:
        yield
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def _progress(request: Request, lane: Lane, work: Callable[[], Fields]) -> AsyncIterator[str]:
    """Gives a JSON object a line: how far a job is, and at the end its answer or what is wrong."""
    job = Job()
    running = asyncio.create_task(lane.run(job, work))
    try:
        async with _stopped_with(request, job):
            while not (await asyncio.wait([running], timeout=TELL_EVERY))[0]:
                if job.stopped:  # the server ends
                    return
                waiting = None if job.running else lane.ahead_of(job)
                yield _line({"waiting": waiting, "passes": job.passes})
            yield _line(await running | {"passes": job.passes})
    except PaeError as error:
        yield _line({"error": str(error)})
    except StoppedError:
        return
    finally:
        job.stop()
        running.cancel()


def _line(fields: Fields) -> str:
    return json.dumps(fields, allow_nan=False) + "\n"


async def _say(_: Request, error: PaeError) -> Response:
    status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
    return JSONResponse({"error": str(error)}, status)


async def _say_http(request: Request, error: HTTPException) -> Response:
    return refusal(request.url.path, error.status_code, error.detail)


async def _nothing(_: Request, error: Exception) -> Response:
    del error
    return Response(status_code=GONE)


async def _fault(request: Request, error: Exception) -> Response:
    del error  # the server prints it
    return refusal(request.url.path, 500, "pae met a fault of its own; the terminal shows it")
