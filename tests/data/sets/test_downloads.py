"""Downloads from a server on this machine that takes the place of torchvision's mirrors."""

import gc
import gzip
import hashlib
import socket
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from torchvision import datasets

from paecli.data import download_dataset, load_dataset
from paecli.data.sets.named_sets import NAMED_SETS, NamedSet
from paecli.system.errors import DataError, UsageError

from .idx_files import idx_set

FILES = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in idx_set().items()}
# torchvision leaves the connections of failed downloads to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PAGE = b"<!DOCTYPE html><html>Quota exceeded</html>"


class Mirror(ThreadingHTTPServer):
    """Serves FILES, or fails in the way that is asked for."""

    failure: int | bytes | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        content = FILES.get(self.path.lstrip("/"))
        failure = self.server.failure
        if isinstance(failure, int) or content is None:
            self.send_error(failure if isinstance(failure, int) else 404)
            return
        content = failure or content
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def closed_connections() -> Iterator[None]:
    yield
    with warnings.catch_warnings(action="ignore"):
        gc.collect()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Mirror(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        checksums = [
            (name, hashlib.md5(FILES[name], usedforsecurity=False).hexdigest()) for name in FILES
        ]
        monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [server.url])
        monkeypatch.setattr(datasets.FashionMNIST, "resources", checksums)
        yield server
        server.shutdown()
        thread.join()


def test_downloads_what_is_not_there_and_finds_it_next_time(
    mirror: Mirror, empty_machine: Path
) -> None:
    dataset = load_dataset("fmnist")
    assert dataset.train.images.shape == (20, 1, 4, 5)
    assert Path(dataset.source).is_relative_to(empty_machine)
    mirror.failure = 500
    assert load_dataset("fmnist").content_hash == dataset.content_hash
    assert [entry.name for entry in empty_machine.iterdir()] == ["FashionMNIST"]
    assert socket.getdefaulttimeout() is None  # as it was


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (403, "HTTP Error 403: Forbidden"),
        (404, "HTTP Error 404: Not Found"),
        (503, "HTTP Error 503"),
        (PAGE, "checksum is wrong"),
    ],
)
def test_failures_are_one_line_and_leave_nothing(
    mirror: Mirror, empty_machine: Path, failure: int | bytes, says: str
) -> None:
    mirror.failure = failure
    with pytest.raises(DataError, match=says) as caught:
        load_dataset("fmnist")
    message = str(caught.value)
    assert "\n" not in message
    assert "cannot download fmnist" in message
    assert "--data-dir" in message
    assert list(empty_machine.iterdir()) == []


def test_no_server_at_all(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:1/"])
    with pytest.raises(DataError, match="Connection refused"):
        download_dataset("fmnist")


def test_a_failed_download_keeps_the_set_that_was_there(mirror: Mirror) -> None:
    before = load_dataset("fmnist").content_hash
    mirror.failure = 404
    with pytest.raises(DataError, match="404"):
        download_dataset("fmnist")
    assert load_dataset("fmnist", download=False).content_hash == before
    mirror.failure = None
    download_dataset("fmnist")
    assert load_dataset("fmnist", download=False).content_hash == before


def test_a_drive_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("To download files from GDrive, 'gdown' is required.")

    monkeypatch.setattr(datasets, "CelebA", fail)
    with pytest.raises(DataError, match="pip install gdown"):
        load_dataset("celeba")


def test_unknown_names() -> None:
    with pytest.raises(UsageError, match="fmnist, mnist"):
        download_dataset("imagenet")


@pytest.mark.parametrize("named", NAMED_SETS.values(), ids=NAMED_SETS)
def test_titles_are_classes_of_torchvision(named: NamedSet) -> None:
    assert issubclass(getattr(datasets, named.title), datasets.VisionDataset)
