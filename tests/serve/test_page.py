"""The page in a real browser: painted, dropped, moved, by mouse, finger and keyboard."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from paecli.cli.app import app

from .conftest import Browser, Served, paint

PHONE = {"width": 360, "height": 740}


def save(tab: Any, button: str, to: Path) -> Path:
    with tab.expect_download() as download:
        tab.locator(button).click()
    download.value.save_as(to)
    return to


def drawn(mask: Path) -> np.ndarray:
    return np.asarray(Image.open(mask).convert("L"))


def test_what_is_painted_is_restored_as_the_command_does_to_the_bit(
    browser: Browser, images: list[Path], measured: Path, tmp_path: Path
) -> None:
    tab = browser.open()
    paint(tab, images[0])
    mask = save(tab, "#save-mask", tmp_path / "mask.png")
    assert 40 < (drawn(mask) == 255).sum() < 150
    assert set(np.unique(drawn(mask))) == {0, 255}
    tab.click("#start")
    tab.locator("#answer").wait_for()
    archive = save(tab, "#save-all", tmp_path / "all.zip")
    command = ["inpaint", str(images[0]), "--mask", str(mask), "--model", str(measured)]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    with zipfile.ZipFile(archive) as content:
        for path in (tmp_path / "out").glob("*.png"):
            assert content.read(path.name) == path.read_bytes(), path.name
        passed = json.loads(content.read("restoration.json"))["passed"]
    verdict = tab.locator("#answer-verdict").inner_text()
    assert ("halves of the run agree" if passed else "is in doubt") in verdict
    assert tab.locator("#samples img").count() == 64
    tab.locator("#samples button").nth(2).click()
    assert tab.locator("#compare-name").inner_text() == "sample 3"
    tab.locator("#compare").fill("80")
    clip = tab.locator("#compare-over").get_attribute("style")
    assert "80%" in clip


def test_an_image_of_the_model_stands_in_for_one_of_the_users(browser: Browser) -> None:
    tab = browser.open()
    tab.click("#try-drawn")
    tab.locator("#editor").wait_for()
    assert tab.locator("#image-name").inner_text() == "drawn.png"
    assert tab.locator("#no-image").is_hidden()


def test_tools_box_erase_undo_clear_and_invert(
    browser: Browser, images: list[Path], tmp_path: Path
) -> None:
    tab = browser.open()
    count = lambda: int(tab.locator("#easel-place").inner_text().split()[0])  # noqa: E731
    tab.set_input_files("#restore-file", images[0])
    tab.locator("#editor").wait_for()
    tab.locator("[value=box]").check()
    box = tab.locator("#easel").bounding_box()
    unit = (box["width"] - 2) / 28
    tab.mouse.move(box["x"] + 1 + 4.5 * unit, box["y"] + 1 + 5.5 * unit)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 1 + 13.5 * unit, box["y"] + 1 + 9.5 * unit)
    tab.mouse.up()
    assert count() == 10 * 5
    mask = drawn(save(tab, "#save-mask", tmp_path / "mask.png"))
    assert (mask[5:10, 4:14] == 255).all()
    tab.locator("[value=erase]").check()
    tab.locator("#brush-width").fill("1")
    tab.mouse.click(box["x"] + 1 + 6.5 * unit, box["y"] + 1 + 6.5 * unit)
    assert count() == 49
    tab.click("#undo")
    assert count() == 50
    tab.click("#invert")
    assert count() == 28 * 28 - 50
    tab.click("#clear")
    assert count() == 0


def test_by_keyboard_alone(browser: Browser, images: list[Path]) -> None:
    tab = browser.open()
    tab.keyboard.press("Tab")
    assert tab.evaluate("() => document.activeElement.id") == "tab-restore"
    tab.keyboard.press("Tab")
    assert tab.evaluate("() => document.activeElement.id") == "restore-file"
    tab.set_input_files("#restore-file", images[0])  # the system's dialogue
    tab.locator("#editor").wait_for()
    tab.keyboard.press("Tab")
    assert tab.evaluate("() => document.activeElement.id") == "easel"
    assert "row 15, column 15 is there" in tab.locator("#easel-place").inner_text()
    tab.keyboard.press("Space")
    before = tab.locator("#easel-place").inner_text()
    assert before == "9 of 784 pixels missing; row 15, column 15 is missing"
    for _ in range(3):
        tab.keyboard.press("Shift+ArrowRight")
    assert "column 18 is missing" in tab.locator("#easel-place").inner_text()
    tab.keyboard.press("Control+z")
    tab.keyboard.press("Control+z")
    tab.keyboard.press("Control+z")
    assert tab.locator("#easel-place").inner_text().split(";")[0] == before.split(";")[0]
    for _ in range(20):
        if tab.evaluate("() => document.activeElement.id") == "start":
            break
        tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.locator("#answer").wait_for()
    assert tab.evaluate("() => document.activeElement.id") == "answer-title"
    tab.locator("#tab-restore").focus()
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#find").is_visible()
    tab.keyboard.press("ArrowRight")
    tab.locator("#gallery button").first.wait_for()


def test_flags_move_with_the_rate_and_cells_of_the_table_are_escaped(
    browser: Browser, images: list[Path], tmp_path: Path
) -> None:
    odd = images[5].rename(images[5].with_name('=1+1,"x".png'))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"words")
    tab = browser.open()
    tab.click("#tab-find")
    tab.set_input_files("#find-files", [*images[:5], odd, broken])
    tab.locator(".cards li").nth(5).wait_for()
    assert tab.locator("#unreadable li").all_inner_texts() == [
        "broken.png is not an image that can be read; convert it to PNG first"
    ]
    words = tab.locator(".cards p:nth-of-type(2)").all_inner_texts()
    values = [float(text.split()[2]) for text in words]
    assert values == sorted(values)
    flagged = []
    for rate in (0.02, 0.5, 1):
        tab.locator("#rate").fill(str(rate))
        flagged.append(tab.locator("li.flagged").count())
        assert tab.locator("#flags").inner_text().startswith(f"{flagged[-1]} of 6 ")
    assert flagged == sorted(flagged)
    assert flagged[0] < flagged[-1] == 6
    tab.locator("#rate").fill("0.000001")
    assert "cannot tell so low a rate" in tab.locator("#flags").inner_text()
    tab.locator("#rate-slider").fill("-1")
    assert tab.locator("#rate").input_value() == "0.1"
    table = save(tab, "#save-csv", tmp_path / "found.csv").read_bytes().decode()
    rows = list(csv.DictReader(io.StringIO(table)))
    assert len(rows) == 6
    assert {'\'=1+1,"x".png', "a.png"} <= {row["path"] for row in rows}
    assert all((float(row["p_value"]) <= 0.1) == (row["outlier"] == "True") for row in rows)
    seen = []
    for heat in (True, False):
        tab.locator("#show-heat").set_checked(heat)
        seen.append(tab.locator(".cards canvas").first.evaluate("canvas => canvas.toDataURL()"))
    assert seen[0] != seen[1]


def test_images_that_are_dropped_while_others_are_scored_wait_for_their_turn(
    browser: Browser, images: list[Path]
) -> None:
    tab = browser.open()
    tab.click("#tab-find")
    tab.evaluate(
        "() => { const now = fetch; const later = () => new Promise(go => setTimeout(go, 400));"
        "window.fetch = (...asked) => later().then(() => now(...asked)) }"
    )
    tab.set_input_files("#find-files", images[:4])
    tab.locator("#find-text", has_text="0 of 4 images").wait_for()
    tab.set_input_files("#find-files", images[4:])
    tab.locator(".cards li").nth(5).wait_for()
    assert tab.locator(".cards li").count() == 6
    tab.locator("#find-progress").wait_for(state="hidden")
    tab.set_input_files("#find-files", images)
    tab.click("#find-stop")
    tab.set_input_files("#find-files", images[:1])
    tab.locator(".cards li").nth(6).wait_for()
    assert tab.locator(".cards li").count() == 7


def test_exploring(browser: Browser, images: list[Path]) -> None:
    tab = browser.open()
    tab.click("#tab-explore")
    tab.locator("#gallery button").nth(15).wait_for()
    tab.set_input_files("#explore-files", images[0])
    tab.locator("#gallery button").nth(16).wait_for()
    tab.locator("#gallery button").nth(0).click()
    tab.locator("#direction-sliders input").first.wait_for()
    assert tab.locator("#chosen").inner_text().startswith("A is a.png. Choose B")
    tab.locator("#gallery button").nth(3).click()
    tab.locator("#way-image[src]").wait_for()
    before = tab.locator("#way-image").get_attribute("src")
    tab.locator("#way-place").fill("12")
    assert tab.locator("#way-image").get_attribute("src") != before
    still = tab.locator("#direction-image").get_attribute("src")
    tab.locator("#direction-sliders input").first.fill("0")
    assert tab.locator("#direction-image").get_attribute("src") != still
    assert "-3.0 standard deviations" in tab.locator("#direction-words").inner_text()
    drawn = tab.locator("#gallery img").nth(1).get_attribute("src")
    tab.click("#draw")
    tab.wait_for_function(
        "old => document.querySelectorAll('#gallery img')[1].src != old", arg=drawn
    )
    assert tab.locator("#gallery img").first.get_attribute("alt") == "a.png"  # the user's own stays
    assert tab.locator("#chosen").inner_text().startswith("A is a.png. Choose B")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(
    browser: Browser, images: list[Path], scheme: str
) -> None:
    tab = browser.open(viewport=PHONE, color_scheme=scheme, has_touch=True, is_mobile=True)
    tab.set_input_files("#restore-file", images[0])
    tab.locator("#editor").wait_for()
    tab.locator("#easel").tap()
    assert not tab.locator("#easel-place").inner_text().startswith("0 of")
    tab.locator("label:has([value=box])").click()  # what is above it must not shrink meanwhile
    assert tab.locator("[value=box]").is_checked()
    for name in ("find", "explore", "restore"):
        tab.tap(f"#tab-{name}")
        assert tab.evaluate("() => document.documentElement.scrollWidth") <= 360
    paper = tab.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")


def test_a_second_finger_draws_no_line_to_the_first(browser: Browser, images: list[Path]) -> None:
    tab = browser.open(viewport=PHONE, has_touch=True, is_mobile=True)
    tab.set_input_files("#restore-file", images[0])
    tab.locator("#editor").wait_for()
    tab.locator("#easel").scroll_into_view_if_needed()
    box = tab.locator("#easel").bounding_box()
    fingers = [
        {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": number}
        for number, (x, y) in enumerate([(0.2, 0.2), (0.8, 0.8)])
    ]
    touch = tab.context.new_cdp_session(tab)
    for kind, points in (
        ("touchStart", fingers[:1]),
        ("touchStart", fingers),
        ("touchMove", [{**each, "x": each["x"] + 2} for each in fingers]),
        ("touchEnd", []),
    ):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert 9 <= int(tab.locator("#easel-place").inner_text().split()[0]) <= 18
    tab.click("#undo")
    assert tab.locator("#easel-place").inner_text().startswith("0 of")


def test_a_wrong_file_leaves_what_runs_alone_and_of_several_the_first_is_taken(
    browser: Browser, images: list[Path], tmp_path: Path, minutes: Callable[[bool], None]
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"words")
    tab = browser.open()
    paint(tab, images[0])
    minutes(True)
    tab.click("#start")
    tab.locator("#progress-text", has_text="passes").wait_for()
    tab.set_input_files("#restore-file", broken)
    tab.locator("#restore-error").wait_for()
    browser.complaints.clear()
    assert tab.locator("#progress").is_visible()
    drop = "([names]) => { const all = new DataTransfer(); for (const each of names)"
    drop += "all.items.add(new File([bytes(gallery[each].data)], `${each}.png`));"
    drop += "dispatchEvent(new DragEvent('drop', { dataTransfer: all })) }"
    tab.evaluate("() => drawSamples()")
    tab.evaluate(drop, [[0, 1, 2]])
    tab.locator("#image-name", has_text="0.png").wait_for()
    assert tab.locator("#image-note").inner_text().startswith("The first of 3 images: one is")
    assert tab.locator("#progress").is_hidden()
    minutes(False)


def test_mistakes_are_said_in_one_line_with_what_to_do(
    browser: Browser, images: list[Path], tmp_path: Path
) -> None:
    tab = browser.open()
    Image.new("1", (10_000, 10_000)).save(tmp_path / "huge.png")
    tab.set_input_files("#restore-file", tmp_path / "huge.png")
    error = tab.locator("#restore-error")
    error.wait_for()
    assert error.inner_text() == "huge.png has more than 50 million pixels; make it smaller first"
    browser.complaints.clear()  # the browser notes the refusal
    tab.set_input_files("#restore-file", images[0])
    tab.locator("#editor").wait_for()
    assert error.is_hidden()
    tab.click("#start")
    assert "paint on the image" in error.inner_text()
    tab.locator("#noise").fill("25")  # grey levels
    tab.click("#start")
    assert "standard deviation from 0 to 1, for" in error.inner_text()


def test_a_restoration_can_be_cancelled_and_two_browsers_share_the_server(
    browser: Browser, images: list[Path], minutes: Callable[[bool], None]
) -> None:
    first, second = browser.open(), browser.open()
    paint(first, images[0])
    paint(second, images[1])
    minutes(True)
    first.click("#start")
    first.locator("#progress-text", has_text="passes").wait_for()
    minutes(False)
    second.click("#start")
    second.locator("#progress-text", has_text="Waiting for 1 other job").wait_for()
    first.click("#cancel")
    assert first.locator("#progress").is_hidden()
    second.locator("#answer").wait_for()
    assert first.locator("#answer").is_hidden()
    first.click("#start")
    first.locator("#answer").wait_for()


def test_without_its_server_the_page_says_what_to_do(
    chromium: Any, page: Served, images: list[Path]
) -> None:
    context = chromium.new_context()
    tab = context.new_page()
    answer = tab.goto(f"http://127.0.0.1:{page.port}/")
    assert answer.status == 401
    assert "open the address that `pae serve` printed" in tab.locator("body").inner_text()
    tab.goto(page.address)
    tab.locator("#about", has_text="blobs").wait_for()
    context.set_offline(True)
    tab.set_input_files("#restore-file", images[0])
    tab.locator("#restore-error").wait_for()
    assert "start `pae serve` again" in tab.locator("#restore-error").inner_text()
    context.close()


def test_the_page_works_where_no_evaluation_is_allowed(page: Served) -> None:
    text = page.request("GET", f"/?token={page.token}").content.decode()
    assert " onclick=" not in text
    assert "style=" not in text
    assert json.dumps(page.token)[1:-1] in text
