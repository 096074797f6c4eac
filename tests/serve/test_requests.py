"""The server asked over HTTP: who is refused, what is bounded, and what the answers are."""

import asyncio
import json
import os
import socket
import sys
import threading
import time
import zipfile
from base64 import b64decode, b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.patches_models import small_model, write_surfaces
from typer.testing import CliRunner

from paecli.cli.app import app
from paecli.data import read_image
from paecli.outliers.flag_images import flag_images
from paecli.outliers.residual_maps import with_maps
from paecli.sampling import interpolate
from paecli.serve import run, uploads
from paecli.serve.jobs import MOST_WAITING, BusyError, Job, Lane, StoppedError
from paecli.store.runs import load_scorer

from .conftest import Served, served_by, upload

WORDS = b64encode(b"words").decode()
QUICK = {"noise": 0.1, "samples": 4}


def mask_file(folder: Path) -> Path:
    mask = torch.zeros(28, 28, dtype=torch.uint8)
    mask[4:16, 10:20] = 255
    Image.fromarray(mask.numpy()).save(folder / "mask.png")
    return folder / "mask.png"


# ------------------------------------------------------------------ who is refused


@pytest.mark.parametrize("path", ["/", "/app.js", "/style.css", "/api/model", "/nowhere"])
@pytest.mark.parametrize("token", ["", "wrong", "é"])
def test_nothing_is_answered_without_the_token(page: Served, path: str, token: str) -> None:
    for headers in ({}, {"X_Pae_Token": token.encode().decode("latin-1")}):
        answer = page.request(
            "GET", f"{path}?token={'wrong' if token == 'é' else token}", **headers
        )
        text = answer.content.decode()
        assert answer.status == 401
        assert "the address that `pae serve` printed" in text
        assert len(text.splitlines()) == 1


def test_an_address_may_carry_many_fields(page: Served) -> None:
    fields = "&".join(f"utm_{number}=1" for number in range(5))
    assert page.request("GET", f"/?{fields}").status == 401
    assert page.request("GET", f"/?{fields}&token={page.token}").status == 200


def test_a_token_in_the_address_does_not_serve_for_what_changes_something(page: Served) -> None:
    answer = page.request("POST", f"/api/samples?token={page.token}", {"count": 1})
    assert answer.status == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "0.0.0.0", ""]
)
def test_other_hosts_are_refused(page: Served, host: str) -> None:
    answer = page.request("GET", f"/?token={page.token}", host=host or "x")
    assert answer.status == 421


def test_a_tunnel_by_another_port_and_name_is_not(page: Served) -> None:
    assert page.request("GET", f"/?token={page.token}", host="localhost:9999").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_other_sites_are_refused(page: Served, headers: dict[str, str]) -> None:
    status, answer = page.ask("samples", {"count": 1}, **headers)
    assert status == 403
    assert "other sites" in answer["error"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_refused(page: Served, method: str) -> None:
    for path in ("/", "/api/model"):
        assert page.request(method, path, X_Pae_Token=page.token).status == 405
    assert page.ask("samples")[0] == 405  # by GET


@pytest.mark.parametrize(
    "path",
    ["/..%2f..%2fetc/passwd", "/../serve/app.py", "/app.py", "//etc/passwd", "/app.js/..%2fapp.py",
     "/%2e%2e/%2e%2e/etc/passwd", "/static/app.js", "/favicon.ico"],
)  # fmt: skip
def test_no_file_of_the_server_can_be_read(page: Served, path: str) -> None:
    answer = page.request("GET", f"{path}?token={page.token}")
    assert answer.status == 404
    assert b"root:" not in answer.content


def test_browsers_are_told_to_keep_the_page_apart(page: Served) -> None:
    for path, kind in (
        ("/", "text/html"),
        ("/app.js", "text/javascript"),
        ("/api/model", "application/json"),
    ):
        answer = page.request("GET", f"{path}?token={page.token}")
        assert answer.headers["content-type"].startswith(kind)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in answer.headers
        assert "server" not in answer.headers


def test_the_page_reaches_for_nothing_outside(page: Served) -> None:
    for path in ("/", "/app.js", "/style.css"):
        text = page.request("GET", f"{path}?token={page.token}").content.decode()
        assert "https://" not in text
        assert text.count("http://") == text.count("http://www.w3.org/2000/svg")


# ------------------------------------------------------------------ what is bounded


def test_large_uploads_are_refused_before_they_are_read(
    page: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MOST_BYTES", 1000)
    status, answer = page.ask("preview", b"x" * 1001)
    assert status == 413
    assert "smaller" in answer["error"]
    with socket.create_connection(("127.0.0.1", page.port), timeout=4) as connection:
        head = (
            f"POST /api/preview HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Pae-Token: {page.token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 1001\r\n\r\n"
        )
        connection.sendall(head.encode())  # and nothing more
        assert b" 413 " in connection.recv(100)


def test_uploads_without_a_length_are_counted(
    page: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MOST_BYTES", 1000)
    with socket.create_connection(("127.0.0.1", page.port), timeout=20) as connection:
        head = (
            f"POST /api/preview HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Pae-Token: {page.token}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(head.encode() + b"800\r\n" + b"x" * 0x800 + b"\r\n")
        assert b" 413 " in connection.recv(100)


def test_slow_uploads_end(page: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", page.port), timeout=20) as connection:
        head = (
            f"POST /api/preview HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Pae-Token: {page.token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{"
        )
        connection.sendall(head.encode())
        assert b" 408 " in connection.recv(100)


def test_slow_heads_of_requests_end(page: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "REQUEST_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", page.port), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert connection.recv(100) == b""


def test_slow_heads_of_later_requests_end(
    page: Served, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "REQUEST_SECONDS", 0.2)
    body = json.dumps({"image": upload(images[0])}).encode()
    with socket.create_connection(("127.0.0.1", page.port), timeout=4) as connection:
        head = (
            f"POST /api/preview HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Pae-Token: {page.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body[:5])
        time.sleep(0.4)  # the clock of the first request has run out while it was read
        connection.sendall(body[5:])
        answer = HTTPResponse(connection)
        answer.begin()
        assert answer.status == 200
        answer.read()
        connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert connection.recv(100) == b""


def test_too_many_images_at_once_are_refused(page: Served, images: list[Path]) -> None:
    status, answer = page.ask("find", {"images": [upload(images[0])] * (uploads.MOST_IMAGES + 1)})
    assert status == 422
    assert "at most 16" in answer["error"]


def test_an_image_of_a_hundred_megapixels_is_refused_in_one_line(page: Served) -> None:
    buffer = BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, "png")
    huge = {"name": "huge.png", "data": b64encode(buffer.getvalue()).decode()}
    status, answer = page.ask("preview", {"image": huge})
    assert status == 400
    assert answer == {"error": "huge.png has more than 50 million pixels; make it smaller first"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "image: Field required"),
        ({"image": {"name": "a", "data": 5}}, "image.data"),
        ({"image": {"name": "a", "data": ""}, "path": "/etc/passwd"}, "path: Extra inputs"),
        (b"[" * 50_000, "request"),
        (b"\xff", "request"),
        ({"image": {"name": "a\r\nb", "data": ""}}, "ab is empty"),
        ({"image": {"name": "a.png", "data": WORDS}}, "a.png is not an image"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_answered_in_one_line(page: Served, body: Any, says: str) -> None:
    status, answer = page.ask("preview", body)
    assert status in (400, 422)
    assert says in answer["error"]
    assert "\n" not in answer["error"]


def test_only_json_is_taken(page: Served) -> None:
    # what forms of other sites can send
    assert page.ask("samples", b"{}", Content_Type="text/plain")[0] == 415


def test_no_more_jobs_wait_than_a_few() -> None:
    async def crowd() -> list[Any]:
        lane, block = Lane(), threading.Event()
        jobs = [lane.run(Job(), block.wait) for _ in range(MOST_WAITING + 2)]
        tasks = [asyncio.ensure_future(job) for job in jobs]
        await asyncio.sleep(0.05)
        block.set()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        lane.close()
        return ended

    with ThreadPoolExecutor(1) as apart:  # a browser's tests leave a loop running in this thread
        ended = apart.submit(lambda: asyncio.run(crowd())).result()
    assert ended[:-1] == [True] * (MOST_WAITING + 1)
    assert isinstance(ended[-1], BusyError)


# ------------------------------------------------------------------ what the answers are


def test_a_restoration_is_that_of_the_command_to_the_bit(
    page: Served, images: list[Path], measured: Path, tmp_path: Path
) -> None:
    mask = mask_file(tmp_path)
    status, answer = page.ask("restore", {"image": upload(images[0]), "mask": upload(mask)})
    assert status == 200, answer
    command = ["inpaint", str(images[0]), "--mask", str(mask), "--model", str(measured)]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    with zipfile.ZipFile(BytesIO(b64decode(answer["zip"]))) as archive:
        written = sorted((tmp_path / "out").glob("*.png"))
        assert {path.name for path in written} <= set(archive.namelist())
        for path in written:
            assert archive.read(path.name) == path.read_bytes(), path.name
        assert archive.read("mask.png") == mask.read_bytes()
        assert json.loads(archive.read("restoration.json"))["missing_pixels"] == 120
    assert b64decode(answer["mean"]) == (tmp_path / "out" / "mean.png").read_bytes()
    said = json.loads(result.stdout)
    assert {key: answer[key] for key in ("chi2", "modes", "method")} == {
        key: said[key] for key in ("chi2", "modes", "method")
    }


def test_noise_alone_is_removed_and_nothing_to_do_is_said(page: Served, images: list[Path]) -> None:
    status, answer = page.ask("restore", {"image": upload(images[0]), **QUICK})
    assert answer["passes"] > 5  # each of them asks whether to go on
    assert status == 200
    assert len(answer["samples"]) == 4
    _, answer = page.ask("restore", {"image": upload(images[0])})
    assert "nothing to restore" in answer["error"]


def test_p_values_are_those_of_the_command(
    page: Served, images: list[Path], measured: Path
) -> None:
    broken = {"name": "broken.png", "data": WORDS}
    status, answer = page.ask("find", {"images": [*map(upload, images), broken]})
    assert status == 200
    *rows, bad = answer["images"]
    assert bad["error"].startswith("broken.png is not an image")
    model = load_scorer(measured)[0]
    expected = flag_images(model, [images[0].parent], score="combined")  # type: ignore[arg-type]
    assert [row["p_value"] for row in rows] == [image.p_value for image in expected.images]
    assert [row["score"] for row in rows] == pytest.approx(
        [image.score for image in expected.images], rel=1e-4
    )


def test_regions_follow_the_ranks_of_pixels(
    page: Served, images: list[Path], measured: Path
) -> None:
    about, (_, answer) = page.ask("model")[1], page.ask("find", {"images": [upload(images[5])]})
    model = load_scorer(measured)[0]
    report = flag_images(model, [images[5]], score="combined", fpr=0.1)  # type: ignore[arg-type]
    maps: list[Any] = []
    with_maps(model, report, show=maps.append)  # type: ignore[arg-type]
    with Image.open(BytesIO(b64decode(answer["images"][0]["ranks"]))) as picture:
        red, green, _ = np.asarray(picture).astype(int).transpose(2, 0, 1)
        ranks = torch.tensor(red * 256 + green)
    inside = ranks <= 0.1 * (about["peaks"] + 1) + 1e-9
    assert inside.any()
    assert torch.equal(inside, maps[0].inside)


def test_ways_are_those_of_the_library(page: Served, images: list[Path], measured: Path) -> None:
    asked = {"start": upload(images[0]), "end": upload(images[1]), "steps": 5}
    _, answer = page.ask("path", asked)
    ends = [read_image(path, image_shape=(1, 28, 28)).pixels for path in images[:2]]
    way = interpolate(load_scorer(measured)[0], *ends, steps=5)  # type: ignore[arg-type]
    assert answer["log_prob"] == pytest.approx(way.log_prob.tolist())
    with Image.open(BytesIO(b64decode(answer["frames"][2]))) as frame:
        shown = torch.tensor(np.asarray(frame)) / 255
    assert (shown - way.frames[2, 0]).abs().max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "I;16", "P", "LA", "1", "F"])
def test_images_of_any_kind_are_read(page: Served, mode: str, tmp_path: Path) -> None:
    path = tmp_path / ("a.tif" if mode in ("CMYK", "F") else "a.png")
    Image.new(mode, (40, 30)).save(path)
    status, answer = page.ask("preview", {"image": upload(path)})
    assert status == 200, answer
    assert (
        answer["note"]
        == f"{path.name} is 40 x 30 pixels; the model sees its middle, shrunk to 28 x 28"
    )


def test_of_an_animation_the_first_image_counts(page: Served, tmp_path: Path) -> None:
    frames = [Image.new("L", (28, 28), grey) for grey in (255, 0)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    _, answer = page.ask("preview", {"image": upload(tmp_path / "a.gif")})
    with Image.open(BytesIO(b64decode(answer["image"]))) as seen:
        assert seen.getpixel((0, 0)) == 255


# ------------------------------------------------------------------ what is left behind

_written: list[str] = []
_listening: list[bool] = []


def _note_writing(event: str, arguments: tuple[Any, ...]) -> None:
    if not (_listening and event == "open" and isinstance(arguments[2], int)):
        return
    if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        _written.append(str(arguments[0]))


def test_nothing_is_written_to_any_disk(page: Served, images: list[Path], tmp_path: Path) -> None:
    mask = mask_file(tmp_path)
    big = {
        "name": "big.png",
        "data": b64encode(images[0].read_bytes() + b"\0" * 3_000_000).decode(),
    }
    page.ask("restore", {"image": upload(images[0]), **QUICK})  # matplotlib may write its cache
    sys.addaudithook(_note_writing)
    _listening.append(True)
    try:
        page.ask("preview", {"image": big})
        page.ask("restore", {"image": upload(images[0]), "mask": upload(mask)})
        page.ask("find", {"images": [upload(path) for path in images]})
        page.ask("directions", {"image": upload(images[0])})
    finally:
        _listening.clear()
    assert _written == []


def test_a_dropped_connection_stops_its_job(
    page: Served,
    images: list[Path],
    minutes: Callable[[bool], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped, go_on = threading.Event(), Job.go_on

    def noted(job: Job) -> None:
        try:
            go_on(job)
        except StoppedError:
            stopped.set()
            raise

    monkeypatch.setattr(Job, "go_on", noted)
    minutes(True)
    body = json.dumps({"image": upload(images[0]), **QUICK}).encode()
    head = (
        f"POST /api/restore HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Pae-Token: {page.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", page.port), timeout=60) as connection:
        connection.sendall(head.encode() + body)
        while b'"waiting": null' not in connection.recv(1000):
            pass
    assert stopped.wait(60)  # at its next pass
    minutes(False)
    status, answer = page.ask("restore", {"image": upload(images[0]), **QUICK})  # waits its turn
    assert status == 200
    assert "mean" in answer


def test_a_model_of_patches_finds_and_says_that_it_restores_nothing(tmp_path: Path) -> None:
    write_surfaces(tmp_path / "good", range(200, 202))
    write_surfaces(tmp_path / "bad", range(202, 203), hole=True)
    files = [*sorted((tmp_path / "good").iterdir()), *(tmp_path / "bad").iterdir()]
    serving = served_by(small_model())
    page = next(serving)
    try:
        status, about = page.ask("model")
        assert status == 200
        assert (about["shape"], about["generates"], about["finds"]) == (None, False, True)
        status, answer = page.ask("find", {"images": [upload(path) for path in files]})
        assert status == 200
        chances = [row["p_value"] for row in answer["images"]]
        assert chances[2] == min(chances) < 0.05
        assert all(row["heat"] and row["ranks"] for row in answer["images"])
        status, answer = page.ask("restore", {"image": upload(files[0]), "noise": 0.1})
        assert "restores nothing" in answer["error"]
    finally:
        next(serving, None)
