"""`doi:` and `hf://` registries: the real pooch and huggingface_hub against this machine.

What is replaced. For `hf://` nothing: `HF_ENDPOINT` points to a loopback server. For `doi:`,
pooch's addresses are fixed, so connections to port 443 of any host go to a loopback server
instead; it shows a certificate for doi.org and zenodo.org that only these tests trust. Names,
TLS, redirects and the archive's answers are handled by the real libraries; the answers have the
form that pooch reads (Zenodo's API, as of pooch 1.9).
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import urllib3.util.connection
from torch import Tensor

from paecli.api import PAE
from paecli.store.checkpoint import load_pae
from paecli.store.registry import fetch, list_entries
from paecli.store.sources import open_source
from paecli.system.errors import RegistryError

from .faulty_server import Handler, Site, redirect

MODEL = "blobs-r1.safetensors"
CERTIFICATE = Path(__file__).parent / "fixtures" / "loopback.pem"  # for these tests only
RECORD = "/api/records/42"
DOI = "doi:10.5281/zenodo.42"


class Zenodo(Handler):
    """doi.org and zenodo.org in one, told apart by the name that the client asks for."""

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server looks for
        host, site = self.headers["Host"], self.site
        site.requests.append((f"{host}{self.path}", self.headers.get("User-Agent", "")))
        if host == "doi.org":
            known = self.path == "/10.5281/zenodo.42"
            target = {"Location": "https://zenodo.org/records/42"}
            return self.answer(302, b"", target) if known else self.answer(404, b"no such DOI")
        if self.path == RECORD:
            return self.answer(200, self.record())
        name = self.path.removeprefix(f"{RECORD}/files/").removesuffix("/content")
        if (site.folder / name).is_file():
            return self.serve((site.folder / name).read_bytes())
        return self.answer(200, b"<html>a record</html>")

    def record(self) -> bytes:
        changed = self.site.folder / "record.json"  # what a test wants answered instead
        if changed.exists():
            return changed.read_bytes()
        links = {name: f"https://zenodo.org{RECORD}/files/{name}/content"
                 for name in ("index.yaml", MODEL)}  # fmt: skip
        files = [{"key": name, "links": {"self": link}} for name, link in links.items()]
        return json.dumps({"id": 42, "files": files}).encode()


@pytest.fixture
def archive(
    registry_folder: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    folder = tmp_path / "record"
    folder.mkdir()
    for name in ("index.yaml", MODEL):
        (folder / name).symlink_to(registry_folder / name)
    site = Site(folder, Zenodo, CERTIFICATE)
    connect: Callable[..., Any] = urllib3.util.connection.create_connection

    def to_loopback(address: tuple[str, int], *rest: Any, **options: Any) -> Any:
        assert address[1] == 443
        return connect(("127.0.0.1", site.server.server_port), *rest, **options)

    monkeypatch.setattr(urllib3.util.connection, "create_connection", to_loopback)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
    monkeypatch.setenv("no_proxy", "*")
    yield site
    site.stop()


def test_a_doi_is_resolved_fetched_and_scores_the_same(
    archive: Site, trained_pae: PAE, blobs: Tensor
) -> None:
    fetched = fetch("blobs", registry=DOI)
    assert fetched.origin == "download"
    model, _ = load_pae(fetched.files[0])
    assert torch.equal(model.log_prob(blobs[:9]), trained_pae.log_prob(blobs[:9]))
    asked = [name for name, _ in archive.requests]
    assert asked[:4] == [
        "doi.org/10.5281/zenodo.42",
        "zenodo.org/records/42",
        f"zenodo.org{RECORD}",
        f"zenodo.org{RECORD}/files/index.yaml/content",
    ]
    assert asked[-1] == f"zenodo.org{RECORD}/files/{MODEL}/content"
    assert all(agent.startswith("pae/") for _, agent in archive.requests)
    assert fetch("blobs", registry=DOI, offline=True).origin == "cache"


def test_a_server_without_a_trusted_certificate_is_refused(
    archive: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with pytest.raises(RegistryError, match="certificate"):
        list_entries(DOI)
    assert archive.requests == []


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("<html>down for maintenance</html>", "cannot find index.yaml"),
        ("[]", "cannot find index.yaml"),
        ("{}", "cannot find index.yaml"),
        ('{"files": [{"key": "other", "links": {"self": "https://zenodo.org/x"}}]}', "not found"),
        ('{"files": [{"key": "index.yaml", "links": 7}]}', "cannot find index.yaml"),
        ('{"files": [{"key": "index.yaml", "links": {"self": "http://127.0.0.1/x"}}]}',
         "does not follow"),
        ('{"files": [{"key": "index.yaml", "links": {"self": "file:///etc/passwd"}}]}',
         "does not follow"),
    ],
)  # fmt: skip
def test_odd_answers_of_an_archive_are_one_line(archive: Site, answer: str, says: str) -> None:
    (archive.folder / "record.json").write_text(answer)
    with pytest.raises(RegistryError, match=says) as caught:
        list_entries(DOI)
    assert "\n" not in str(caught.value)
    assert DOI in str(caught.value)


@pytest.mark.parametrize("address", ["doi:10.5281/zenodo.43", "doi:", "doi:/"])
def test_unknown_dois_are_one_line(archive: Site, address: str) -> None:
    with pytest.raises(RegistryError, match="check the DOI"):
        list_entries(address)


def download(
    site: Site, address: str, tmp_path: Path, *options: str
) -> "subprocess.CompletedProcess[str]":
    """Runs the command in a process of its own, for huggingface_hub reads its variables once."""
    environment = os.environ | {
        "HF_ENDPOINT": site.url,
        "HF_TOKEN": "hf_secret",
        "HF_HOME": str(tmp_path / "hf"),
        "no_proxy": "*",
    }
    command = [sys.executable, "-m", "paecli", "download", "blobs", "--json"]
    return subprocess.run(
        [*command, "--registry", address, *options],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def hub(registry_folder: Path, tmp_path: Path) -> Iterator[Site]:
    for revision in ("main", "v1.0"):
        repository = tmp_path / "hub" / "lab" / "models" / "resolve" / revision
        repository.mkdir(parents=True)
        for name in ("index.yaml", MODEL):
            (repository / name).symlink_to(registry_folder / name)
    site = Site(tmp_path / "hub")
    yield site
    site.stop()


@pytest.mark.parametrize(
    ("address", "revision"),
    [("hf://lab/models", "main"), ("hf://lab/models@v1.0", "v1.0")],
)
def test_the_hub_is_asked_at_its_endpoint(
    hub: Site, tmp_path: Path, address: str, revision: str
) -> None:
    result = download(hub, address, tmp_path)
    assert result.returncode == 0, result.stderr
    fetched = json.loads(result.stdout)
    assert (fetched["origin"], fetched["verified"]) == ("download", True)
    place = f"lab/models/resolve/{revision}"
    # and nothing else: huggingface_hub's own headers would cost a request for statistics
    assert [name for name, _ in hub.requests] == [f"{place}/index.yaml", f"{place}/{MODEL}"]
    again = download(hub, address, tmp_path, "--offline")
    assert again.returncode == 0, again.stderr
    assert len(hub.requests) == 2


def test_the_token_does_not_follow_a_redirect_to_another_host(
    hub: Site, registry_folder: Path, tmp_path: Path
) -> None:
    storage = Site(registry_folder)
    other = f"http://localhost:{storage.server.server_port}/{MODEL}"  # the hub is 127.0.0.1
    hub.faults[f"lab/models/resolve/main/{MODEL}"] = [redirect(other)]
    result = download(hub, "hf://lab/models", tmp_path)
    storage.stop()
    assert result.returncode == 0, result.stderr
    assert hub.tokens == ["Bearer hf_secret"] * 2
    assert storage.tokens == [""]


def test_a_revision_that_is_not_there_is_one_line(hub: Site, tmp_path: Path) -> None:
    result = download(hub, "hf://lab/models@v9", tmp_path)
    assert result.returncode == 1
    assert "answers 404" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("address", ["hf://lab", "hf://lab/models@", "hf://lab/models@a b"])
def test_hub_addresses_are_checked(address: str) -> None:
    with pytest.raises(RegistryError, match="write hf://organisation/repository"):
        open_source(address)
