"""A registry of one model, in a folder and on a loopback web server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from paecli.store import http_answers, web
from paecli.store.publishing.publish import publish

from .faulty_server import Site


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and no configured registry."""
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("PAE_REGISTRY", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between attempts, and stalls found out soon."""
    monkeypatch.setattr(web, "PAUSE", 0.0)
    monkeypatch.setattr(http_answers, "TIMEOUT", (5.0, 0.5))


@pytest.fixture(scope="session")
def registry_folder(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one published model, `blobs`; do not change it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAE_CACHE", str(tmp_path_factory.mktemp("publisher")))
        folder = tmp_path_factory.mktemp("registry")
        publish(model_file, folder=folder, name="blobs", licence="MIT", description="Blobs.")
    return folder


@pytest.fixture
def site(registry_folder: Path, quick: None) -> Iterator[Site]:
    """That folder, served."""
    running = Site(registry_folder)
    yield running
    running.stop()
