"""Downloads from a server that misbehaves in every way that was thought of."""

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from paecli.store import http_answers, web
from paecli.store.http_answers import PassingError, without_secrets
from paecli.store.web import download, read_text
from paecli.system.errors import RegistryError
from paecli.system.progress import NullProgress

from .faulty_server import (
    Fault,
    Site,
    break_range_after,
    drip,
    drip_headers,
    drop_after,
    end_unannounced,
    redirect,
    same_length_garbage,
    stall_after,
    status,
    web_page,
)

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def file_site(site: Site, tmp_path: Path) -> Site:
    """The server, with one file of random-looking bytes."""
    site.folder = tmp_path / "served"
    site.folder.mkdir()
    (site.folder / "file").write_bytes(CONTENT)
    return site


def fetch(site: Site, part: Path, *, size: int = len(CONTENT)) -> bytes:
    download(f"{site.url}/file", part, size=size, headers={}, label="file", progress=NullProgress())
    return part.read_bytes()


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [status(500), status(500)],
        [status(503), status(429), drop_after(10)],
        [drop_after(0)],
        [drop_after(100_000)],
        [stall_after(70_000)],
        [end_unannounced(70_000)],
    ],
)
def test_passing_faults_are_survived(file_site: Site, tmp_path: Path, faults: list[Fault]) -> None:
    file_site.faults["file"] = list(faults)
    assert fetch(file_site, tmp_path / "part") == CONTENT
    assert file_site.faults["file"] == []


def test_a_broken_download_goes_on_where_it_stopped(file_site: Site, tmp_path: Path) -> None:
    kept = 3 * web.PIECE
    file_site.faults["file"] = [drop_after(kept)]
    assert fetch(file_site, tmp_path / "part") == CONTENT
    assert [sent for _, sent in file_site.requests] == ["", f"bytes={kept}-"]


def test_a_server_without_ranges_starts_over(file_site: Site, tmp_path: Path) -> None:
    file_site.no_ranges = True
    (tmp_path / "part").write_bytes(b"x" * 1000)
    assert fetch(file_site, tmp_path / "part") == CONTENT


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ([status(404)], "answers 404; check the registry's address"),
        ([status(403)], "asks for permission"),
        ([web_page], "web page in place of file"),
        ([redirect("file:///etc/passwd")], "does not follow"),
        ([redirect("http://192.0.2.1/file")], "does not follow"),
        ([redirect("http://[::1")], "does not follow"),
        ([redirect("http://[::1]:99999/x")], "does not follow"),
        ([status(500)] * 5, "answers 500"),
        ([drop_after(0)] * 5, "the connection (broke|ended)|no connection"),
        ([lambda handler, content: handler.answer(200, content + b"more")], "offers 256004 bytes"),
        ([lambda handler, content: handler.answer(200, content[:99])], "offers 99 bytes"),
        (
            [lambda handler, _: handler.answer(200, b"z", {"Content-Encoding": "gzip"})],
            "compressed",
        ),
    ],
)
def test_lasting_faults_end_in_one_line(
    file_site: Site, tmp_path: Path, faults: list[Fault], message: str
) -> None:
    file_site.faults["file"] = list(faults)
    with pytest.raises(RegistryError, match=message) as caught:
        fetch(file_site, tmp_path / "part")
    assert "\n" not in str(caught.value)


def test_no_more_is_written_than_was_agreed(file_site: Site, tmp_path: Path) -> None:
    def endless(handler, content):  # type: ignore[no-untyped-def]
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(content * 10)

    file_site.faults["file"] = [endless]
    with pytest.raises(RegistryError, match="more than the 256000 bytes"):
        fetch(file_site, tmp_path / "part")
    assert (tmp_path / "part").stat().st_size <= len(CONTENT)


def test_a_dead_server_is_reported(file_site: Site, tmp_path: Path) -> None:
    file_site.stop()
    with pytest.raises(RegistryError, match="no connection; check the connection"):
        fetch(file_site, tmp_path / "part")


def test_a_folder_that_cannot_be_written_is_reported(file_site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RegistryError, match="set PAE_CACHE"):
        fetch(file_site, tmp_path / "file" / "part")


def test_a_full_disk_is_one_line_and_the_next_call_goes_on(
    file_site: Site, tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[object]]
) -> None:
    with full_disk(1), pytest.raises(RegistryError, match="No space left on device; free some"):
        fetch(file_site, tmp_path / "part")
    assert fetch(file_site, tmp_path / "part") == CONTENT


def test_a_clock_that_jumps_changes_nothing(
    file_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = itertools.cycle([2e9, 0.0, 4e9])
    monkeypatch.setattr("time.time", lambda: next(times))
    file_site.faults["file"] = [drop_after(100_000)]
    assert fetch(file_site, tmp_path / "part") == CONTENT


def test_texts_are_bounded_and_decoded(file_site: Site) -> None:
    url = f"{file_site.url}/file"
    with pytest.raises(RegistryError, match="is not text"):
        read_text(url, headers={}, limit=10**6, what="it")
    with pytest.raises(RegistryError, match="larger than 1000 bytes"):
        read_text(url, headers={}, limit=1000, what="it")
    (file_site.folder / "file").write_text("grün", "utf-8")
    file_site.faults["file"] = [status(500)]
    assert read_text(url, headers={}, limit=1000, what="it") == "grün"


def test_right_length_but_wrong_bytes_are_left_to_the_hash(file_site: Site, tmp_path: Path) -> None:
    file_site.faults["file"] = [same_length_garbage]
    assert fetch(file_site, tmp_path / "part") == bytes(len(CONTENT))


def test_signed_urls_are_not_shown() -> None:
    assert without_secrets("https://a.example/f?token=s#t") == "https://a.example/f"


def test_a_connection_that_breaks_early_each_time_still_advances(
    file_site: Site, tmp_path: Path
) -> None:
    """Breaks come sooner than a whole piece: what arrived before them counts."""
    file_site.faults["file"] = [break_range_after(40_000) for _ in range(20)]
    assert fetch(file_site, tmp_path / "part") == CONTENT
    starts = [int(wanted[6:-1] or 0) for _, wanted in file_site.requests if wanted]
    assert starts == list(range(40_000, len(CONTENT), 40_000))


def test_a_connection_that_breaks_after_next_to_nothing_is_given_up(
    file_site: Site, tmp_path: Path
) -> None:
    """Some bytes each time would be progress without end; what came is kept."""
    file_site.faults["file"] = [break_range_after(10) for _ in range(20)]
    with pytest.raises(RegistryError, match=r"the connection (broke|ended)"):
        fetch(file_site, tmp_path / "part")
    assert len(file_site.requests) == web.ATTEMPTS
    file_site.faults["file"] = []
    assert fetch(file_site, tmp_path / "part") == CONTENT
    assert file_site.requests[-1][1] == "bytes=50-"


def test_an_index_that_drips_is_given_up(file_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "LONGEST_TEXT", 0.3)
    (file_site.folder / "index").write_text("models: {}\n" * 100)
    file_site.faults["index"] = [drip(0.05)]
    with pytest.raises(RegistryError, match="too slowly"):
        read_text(f"{file_site.url}/index", headers={}, limit=10_000, what="the index")


def test_headers_that_drip_are_given_up(
    file_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_answers, "LONGEST_START", 0.3)
    file_site.faults["file"] = [drip_headers(0.05), redirect("/slow")]
    file_site.faults["slow"] = [drip_headers(0.05)]
    with pytest.raises(RegistryError, match="file arrives too slowly; try again later"):
        fetch(file_site, tmp_path / "part")
    with pytest.raises(RegistryError, match="the index arrives too slowly"):
        read_text(f"{file_site.url}/file", headers={}, limit=10_000, what="the index")
    assert file_site.faults == {"file": [], "slow": []}
    assert fetch(file_site, tmp_path / "part") == CONTENT


def test_a_file_that_drips_is_given_up_and_the_part_is_kept(
    file_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "PATIENCE", 0.3)
    file_site.faults["file"] = [drip(0.02)]
    with pytest.raises(RegistryError, match="file arrives too slowly; try again later"):
        fetch(file_site, tmp_path / "part")
    kept = (tmp_path / "part").stat().st_size
    assert 0 < kept < web.LEAST
    assert fetch(file_site, tmp_path / "part") == CONTENT
    assert file_site.requests[-1][1] == f"bytes={kept}-"


def test_this_machine_is_not_asked_through_a_proxy(
    file_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetch(file_site, tmp_path / "part") == CONTENT


@pytest.mark.parametrize(("count", "enough"), [(web.LEAST, True), (web.LEAST - 1, False)])
def test_how_much_must_come_in_a_minute(
    count: int, enough: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0, 2 * web.PATIENCE)
    monkeypatch.setattr(web.time, "monotonic", lambda: float(next(clock)))
    pieces = iter([b"a" * count, b"a" * count, b""])
    answer: Any = SimpleNamespace(raw=SimpleNamespace(read1=lambda size: next(pieces)))
    if enough:
        assert [len(piece) for piece in web._pieces(answer, "it")] == [count, count]
        return
    with pytest.raises(RegistryError, match="it arrives too slowly"):
        list(web._pieces(answer, "it"))


def test_progress_is_told_in_kilobytes() -> None:
    told: list[int] = []
    task: Any = SimpleNamespace(advance=told.append)
    for before, after in ((0, 999), (999, 1000), (1000, 3500), (3500, 1500)):
        web._show(task, before, after)
    assert told == [0, 1, 2, -2]


def test_pauses_double_until_it_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(web.time, "sleep", slept.append)
    error = PassingError("the connection broke")
    for failures in (1, 2, 3):
        web._pause_or_give_up(failures, "https://a.b/c?key=1", error, 4)
    assert slept == [0.5, 1.0, 2.0]
    with pytest.raises(RegistryError, match=r"cannot fetch https://a\.b/c: the connection broke"):
        web._pause_or_give_up(4, "https://a.b/c?key=1", error, 4)
