"""A page of the shared small model, served in a thread of the test's own process."""

import copy
import json
import os
import shutil
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from paecli.api import PAE
from paecli.data import write_image
from paecli.outliers.scores import fit_reference_scores
from paecli.restoration.samplers import prior_pool
from paecli.serve.address import listen, new_token
from paecli.serve.answers import Answers
from paecli.serve.run import build_server
from paecli.store.checkpoint import read_header, save_pae
from paecli.store.runs import load_scorer

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDE = {"width": 1100, "height": 900}
PATIENCE = 120_000  # milliseconds


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    content: bytes


@dataclass(frozen=True)
class Served:
    """Where a page is.

    Attributes:
        port: on 127.0.0.1.
        token: of its address.
    """

    port: int
    token: str

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def request(
        self, method: str, path: str, body: Any = None, *, host: str | None = None, **headers: str
    ) -> Answer:
        """Sends a request; `_` in the names of headers stands for `-`."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given |= {"Host": host or f"127.0.0.1:{self.port}"}
        if body is not None:
            given.setdefault("Content-Type", "application/json")
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=120)) as connection:
            connection.request(method, path, content, given)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Asks with the token; returns the status and what the last line of the answer says."""
        method = "GET" if body is None else "POST"
        answer = self.request(method, f"/api/{path}", body, X_Pae_Token=self.token, **headers)
        text = answer.content.decode().splitlines()
        return answer.status, json.loads(text[-1]) if text else None


class Browser:
    """Opens the page; every complaint of the browser fails the test."""

    def __init__(self, chromium: Any, page: Served) -> None:
        self._chromium, self._page, self._open = chromium, page, []
        self.complaints: list[str] = []

    def open(self, **options: Any) -> Any:
        context = self._chromium.new_context(**{"viewport": WIDE, **options})
        self._open.append(context)
        tab = context.new_page()
        tab.set_default_timeout(PATIENCE)
        tab.on("console", lambda message: self.complaints.append(message.text))
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.goto(self._page.address)
        tab.locator("#about", has_text="blobs: 28").wait_for()
        return tab

    def close(self) -> None:
        for context in self._open:
            context.close()


def paint(tab: Any, image: Path) -> None:
    tab.set_input_files("#restore-file", image)
    tab.locator("#editor").wait_for()
    tab.locator("#easel").scroll_into_view_if_needed()
    box = tab.locator("#easel").bounding_box()
    place = lambda x, y: (box["x"] + x * box["width"], box["y"] + y * box["height"])  # noqa: E731
    tab.mouse.move(*place(0.3, 0.3))
    tab.mouse.down()
    tab.mouse.move(*place(0.7, 0.6), steps=5)
    tab.mouse.up()


def served_by(model: Any) -> Iterator[Served]:
    token = new_token()
    listening: socket.socket = listen(0)
    server = build_server(Answers(model, "blobs"), token=token)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Served(listening.getsockname()[1], token)
    server.should_exit = True
    thread.join(20)
    listening.close()
    assert not thread.is_alive(), "the server does not end"


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restores in little time; commands in this process do the same."""
    monkeypatch.setattr(prior_pool, "MOST_DRAWS", 512)


@pytest.fixture
def minutes(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Lets restorations that begin from now on take minutes, or no longer."""
    decode = prior_pool.PriorPool._decode

    def slowly(pool: prior_pool.PriorPool, points: Tensor) -> Tensor:
        time.sleep(0.2)
        return decode(pool, points)

    monkeypatch.setattr(prior_pool, "ROWS", 1)

    def switch(slow: bool) -> None:
        monkeypatch.setattr(prior_pool, "MOST_DRAWS", 1_000 if slow else 256)
        monkeypatch.setattr(prior_pool.PriorPool, "_decode", slowly if slow else decode)

    return switch


@pytest.fixture(scope="session")
def measured(
    trained_pae: PAE, model_file: Path, blobs: Tensor, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The file of a model that knows how unusual blobs are, and where."""
    model = copy.deepcopy(trained_pae)
    model.measure_errors(blobs[400:])
    fit_reference_scores(model, blobs[400:], training=blobs[:400])
    path = tmp_path_factory.mktemp("run") / "model.safetensors"
    save_pae(path, model, read_header(model_file))
    return path


@pytest.fixture(scope="module")
def page(measured: Path) -> Iterator[Served]:
    yield from served_by(load_scorer(measured)[0])


@pytest.fixture
def images(blobs: Tensor, tmp_path: Path) -> list[Path]:
    """Six pictures, the last one of noise."""
    paths = [tmp_path / "in" / f"{name}.png" for name in "abcdef"]
    for path, blob in zip(paths[:5], blobs[500:], strict=False):
        write_image(path, blob)
    write_image(paths[5], torch.rand(1, 28, 28))
    return paths


def upload(path: Path) -> dict[str, str]:
    return {"name": path.name, "data": b64encode(path.read_bytes()).decode()}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless browser; tests that need one are skipped where there is none."""
    found = [path for name in BROWSERS if (path := shutil.which(name))]
    if not found:
        pytest.skip("no Chromium is installed: the page is NOT tested in a browser")
    from playwright.sync_api import sync_playwright

    flags = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    more = "disable-component-update disable-sync disable-dev-shm-usage"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("PAE_TEST_BROWSER", found[0]),
            args=["--headless", *(f"--{flag}" for flag in f"{flags} {more}".split())],
        )
        yield browser
        browser.close()


@pytest.fixture
def browser(chromium: Any, page: Served) -> Iterator[Browser]:
    opened = Browser(chromium, page)
    yield opened
    opened.close()
    assert opened.complaints == []
