"""What the page gets by the smallest shipped model is what it got before; figures and pictures."""

import asyncio
import json
import zipfile
from base64 import b64decode, b64encode
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.kept_answers import compare, seeded, told

from paecli.data import load_dataset
from paecli.data.images.files import ImageFile, png_of
from paecli.model.model import Model
from paecli.restoration.files import RestoredFile
from paecli.restoration.masks.files import Mask
from paecli.restoration.reading import RestoreSettings
from paecli.restoration.result import Diagnostics, Mode, Restoration
from paecli.serve.answers import Answers, as_colours, defined
from paecli.serve.app import build_app
from paecli.serve.finding import LONGEST_SIDE, shrink
from paecli.serve.guard import HEADERS
from paecli.serve.jobs import Lane
from paecli.serve.uploads import Draw, Find, Interpolate, OneImage, Restore
from paecli.store.runs import load_scorer

TOKEN = "a" * 20


@pytest.fixture(scope="module")
def answers() -> Answers:
    model = load_scorer("mnist-8")[0]
    assert isinstance(model, Model)
    model.held_out_errors.u = model.held_out_errors.u[:2]
    model.held_out_errors.images = model.held_out_errors.images[:2]
    return Answers(model, "digits")


def digit(number: int) -> dict[str, str]:
    png = png_of(load_dataset("mnist-mini").test.images[number].float() / 255)
    return {"name": f"{number}.png", "data": b64encode(png).decode()}


def described(value: Any) -> Any:
    """Returns an answer with figures in the places of its pictures."""
    if isinstance(value, dict):
        return {key: described(each) for key, each in value.items()}
    if isinstance(value, list):
        return [described(each) for each in value]
    if isinstance(value, str) and value.startswith("iVBOR"):
        return told(torch.from_numpy(np.array(Image.open(BytesIO(b64decode(value))), np.float64)))
    if isinstance(value, str) and value.startswith("UEsD"):
        with zipfile.ZipFile(BytesIO(b64decode(value))) as packed:
            return [packed.namelist(), json.loads(packed.read("restoration.json"))]
    return value


def test_answers_are_as_before(answers: Answers) -> None:
    wide = torch.rand(3, 40, 90, generator=torch.Generator().manual_seed(0))
    large = {"name": "wide.png", "data": b64encode(png_of(wide)).decode()}
    broken = {"name": "broken.png", "data": b64encode(png_of(wide)[:200]).decode()}
    found = answers.find(Find.model_validate({"images": [digit(0), large, broken]}))
    about = answers.about()
    assert ".png" in about.pop("endings")  # the others are those of the Pillow that is installed
    compare("page", {
        "about": about, "networks": [type(each).__name__ for each in answers.networks],
        "preview": [described(answers.preview(OneImage.model_validate({"image": each})))
                    for each in (digit(0), large)],
        "found": described(found),
        "samples": described(answers.samples(Draw(count=2, temperature=0.7, seed=3))),
        "path": described(answers.path(
            Interpolate.model_validate({"start": digit(1), "end": digit(2), "steps": 3})
        )),
        "directions": described(answers.directions(OneImage.model_validate({"image": digit(1)}))),
    }, relative=0.02)  # fmt: skip  # a pixel that is rounded the other way moves small sums


def test_a_restoration_is_told_as_it_came(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    images = torch.rand(9, 1, 28, 28, generator=seeded())
    modes = tuple(Mode(torch.zeros(2), images[0], level, 0.5) for level in (-3.5, float("-inf")))
    result = Restoration(
        images[0], images[1], 0.2 * images[2], images[3:5], torch.zeros(2, 8), images[3:9], modes,
        12.5, 700, Diagnostics(None, None, 30.0, True), "smc", "a note", 1.23456,
    )  # fmt: skip
    damaged = images[5].clone()
    damaged[:, :2] = torch.nan
    asked: list[Any] = []

    def restore(model: Model, image: ImageFile, mask: Mask, settings: RestoreSettings) -> Any:
        asked.append([mask.observed.sum().item(), settings])
        return RestoredFile(image.path, damaged, None, result, None, tmp_path, ("odd mask",))

    monkeypatch.setattr("paecli.serve.answers.restore_image", restore)
    hidden = torch.zeros(1, 28, 28)
    hidden[:, 6:12, 8:20] = 1
    mask = {"name": "mask.png", "data": b64encode(png_of(hidden)).decode()}
    plain = {"image": digit(0), "noise": 0.3, "samples": 2, "seed": 5, "method": "smc"}
    told_of = [described(answers.restore(Restore.model_validate(each)))
               for each in (plain | {"mask": mask}, plain)]  # fmt: skip
    settings = RestoreSettings(noise=0.3, method="smc", samples=2, seed=5)
    assert asked == [[784 - 72, settings], [784, settings]]
    compare("page-restored", told_of)


def test_numbers_that_json_lacks_are_left_out() -> None:
    values = [1.5, -2.0, float("inf"), float("-inf"), float("nan")]
    assert [defined(each) for each in values] == [1.5, -2.0, None, None, None]


def test_ranks_are_in_two_colours() -> None:
    ranks = torch.tensor([[0, 255, 256], [257, 65_535, 70_000]])
    assert as_colours(ranks).tolist() == [
        [[0, 0, 1], [1, 255, 255]], [[0, 255, 0], [1, 255, 255]], [[0, 0, 0], [0, 0, 0]],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("size", "shrunk"),
    [((LONGEST_SIDE, 10), (LONGEST_SIDE, 10)), ((10, 2 * LONGEST_SIDE), (5, LONGEST_SIDE)),
     ((1, 9 * LONGEST_SIDE), (1, LONGEST_SIDE))],
)  # fmt: skip
def test_maps_are_as_large_as_the_page_shows(size: tuple[int, int], shrunk: object) -> None:
    assert shrink(torch.rand(3, *size)).shape[1:] == shrunk


def asked(app: Any, path: str) -> tuple[int, dict[str, str], bytes]:
    """Asks the page without a server: status, headers and content."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"x-pae-token", TOKEN.encode())]
    scope = {
        "type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers,
        "http_version": "1.1", "scheme": "http", "root_path": "", "server": ("127.0.0.1", 80),
    }  # fmt: skip
    with suppress(ZeroDivisionError):  # the server prints it
        asyncio.run(app(scope, receive, send))
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], told, b"".join(each.get("body", b"") for each in sent[1:])


def test_a_fault_of_our_own_is_said_as_such(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(answers, "about", fail)
    app = build_app(answers, TOKEN, slow=Lane(), quick=Lane())
    status, _, content = asked(app, "/api/model")
    assert status == 500
    assert json.loads(content) == {"error": "pae met a fault of its own; the terminal shows it"}
    status, headers, content = asked(app, "/app.js")
    assert (status, headers["content-type"][:15]) == (200, "text/javascript")
    assert {name: headers[name] for name in HEADERS} == HEADERS
    assert content
    assert f"app.js?token={TOKEN}" in asked(app, "/")[2].decode()


def test_threads_end_with_the_server(answers: Answers) -> None:
    slow, quick = Lane(), Lane()
    coming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return next(coming)

    async def send(message: dict[str, str]) -> None:
        sent.append(message["type"])

    app: Any = build_app(answers, TOKEN, slow=slow, quick=quick)
    asyncio.run(app({"type": "lifespan", "state": {}}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    for lane in (slow, quick):
        with pytest.raises(RuntimeError, match="shutdown"):
            lane._thread.submit(print)
