"""What a user does in a hurry: whole folders, several files at once, none at all; and words."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from paecli.data import write_image

from .conftest import Browser

SLOW_ONCE = """path => { const now = fetch; let waited = false; window.fetch = async (...asked) => {
  const late = !waited && asked[0].includes(path); waited = waited || late;
  const answer = await now(...asked);
  if (late) await new Promise(go => setTimeout(go, 1500));
  return answer; } }"""


@pytest.fixture
def folder(images: list[Path]) -> Path:
    """The folder of six images, with one in a sub-folder, words, and a hidden file."""
    write_image(images[0].parent / "more" / "a.png", torch.rand(1, 28, 28))
    (images[0].parent / "notes.txt").write_text("words")
    (images[0].parent / ".hidden.png").write_bytes(images[0].read_bytes())
    return images[0].parent


def drop(tab: Any, *paths: Path) -> None:
    """Drops files from outside, as the system's file manager does."""
    session = tab.context.new_cdp_session(tab)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        place = {"type": kind, "x": 300, "y": 300, "data": data}
        session.send("Input.dispatchDragEvent", place)


def names(tab: Any) -> set[str]:
    return set(tab.locator(".cards li p:first-of-type").all_inner_texts())


def test_a_folder_is_dropped_or_chosen_as_its_images(
    browser: Browser, folder: Path, tmp_path: Path
) -> None:
    tab = browser.open()
    tab.click("#tab-find")
    drop(tab, folder)
    tab.locator(".cards li").nth(6).wait_for()
    inside = {f"in/{name}.png" for name in ("a", "b", "c", "d", "e", "f", "more/a")}
    assert names(tab) == inside
    assert tab.locator("#unreadable").is_hidden()
    with tab.expect_download() as download:
        tab.click("#save-csv")
    download.value.save_as(tmp_path / "found.csv")
    with (tmp_path / "found.csv").open(newline="") as file:
        assert {row["path"] for row in csv.DictReader(file)} == inside
    tab.click("#find-clear")
    tab.set_input_files("#find-folder", folder)
    tab.locator(".cards li").nth(6).wait_for()
    assert names(tab) == inside


def test_a_folder_without_images_and_what_is_no_file_are_told(
    browser: Browser, images: list[Path], tmp_path: Path
) -> None:
    tab = browser.open()
    (tmp_path / "empty").mkdir()
    drop(tab, tmp_path / "empty")
    tab.locator("#restore-error", has_text="no image in it").wait_for()
    tab.evaluate(
        "() => { const words = new DataTransfer(); words.setData('text/plain', 'words');"
        "dispatchEvent(new DragEvent('drop', { dataTransfer: words })) }"
    )
    tab.locator("#restore-error", has_text="is no file").wait_for()
    drop(tab, images[0])
    tab.locator("#image-name", has_text="a.png").wait_for()
    assert tab.locator("#restore-error").is_hidden()


def test_of_images_that_are_dropped_in_a_hurry_the_last_is_restored(
    browser: Browser, images: list[Path]
) -> None:
    tab = browser.open()
    tab.evaluate(SLOW_ONCE, "preview")
    tab.set_input_files("#restore-file", images[0])
    tab.set_input_files("#restore-file", images[1])
    tab.locator("#image-name", has_text="b.png").wait_for()
    tab.wait_for_timeout(2_000)
    assert tab.locator("#image-name").inner_text() == "b.png"


def test_images_that_are_added_meanwhile_hide_no_answer(
    browser: Browser, images: list[Path]
) -> None:
    tab = browser.open()
    tab.click("#tab-explore")
    tab.locator("#gallery button").nth(15).wait_for()
    tab.evaluate(SLOW_ONCE, "directions")
    tab.locator("#gallery button").nth(0).click()
    tab.set_input_files("#explore-files", images[0])
    tab.locator("#gallery img[alt='a.png']").wait_for()
    tab.locator("#directions").wait_for()
    tab.evaluate("() => { window.fetch = fetch }")
    tab.evaluate(SLOW_ONCE, "path")
    tab.locator("#gallery button").nth(3).click()
    tab.set_input_files("#explore-files", images[1])
    tab.locator("#gallery img[alt='b.png']").wait_for()
    tab.locator("#way").wait_for()


def test_the_page_names_no_options_of_the_prompt(browser: Browser) -> None:
    tab = browser.open()
    note = "two halves do not agree (worth 118 independent draws): "
    for advice in ("--method smc runs longer", "another --seed tells how much"):
        said = tab.evaluate("note => withoutOptions(note)", note + advice)
        assert said == "two halves do not agree (worth 118 independent draws)."
    kept = "no pixel is observed: drawn from the prior, as new images of the model are"
    assert tab.evaluate("note => withoutOptions(note)", kept) == kept
