"""Makes the pictures of docs/serve.md: serves the bundled model and uses the page in Chromium.

Usage: python tools/page_screenshots.py [FOLDER]; the default is docs/images.
"""

import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from json import loads
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
FLAGS = "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
COLOURS = 128  # of a picture, which keeps it small
PATIENCE = 600_000  # milliseconds
MODEL = "fmnist-32"


def shoot(page: Page, file: Path) -> None:
    """Writes a picture of the whole page with few colours."""
    picture = Image.open(BytesIO(page.screenshot(full_page=True)))
    picture.convert("RGB").quantize(COLOURS).save(file, optimize=True)
    print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


def open_page(browser: Any, address: str, *, width: int, scheme: str) -> Page:
    """Opens the page as wide as a screen, and waits until it is of use."""
    page: Page = browser.new_page(viewport={"width": width, "height": 700}, color_scheme=scheme)
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.locator("#about", has_text="pixels").wait_for()
    return page


def restore(page: Page, image: Path) -> None:
    """Paints over an image and restores it."""
    page.set_input_files("#restore-file", image)
    page.locator("#editor").wait_for()
    box = page.locator("#easel").bounding_box()
    assert box is not None
    ways = (((0.25, 0.25), (0.75, 0.55)), ((0.72, 0.22), (0.3, 0.75)))
    for start, end in ways:
        for place, step in ((start, "down"), (end, "up")):
            x, y = box["x"] + place[0] * box["width"], box["y"] + place[1] * box["height"]
            page.mouse.move(x, y, steps=8)
            getattr(page.mouse, step)()
    page.click("#start")
    page.locator("#answer").wait_for()
    # two rows of samples are enough for a picture, and how long it took is of this machine today
    page.evaluate(
        "() => { document.querySelectorAll('#samples button:nth-child(n + 33)')"
        ".forEach((sample) => sample.remove());"
        "const words = document.getElementById('answer-words');"
        "words.textContent = words.textContent.replace(/ in [0-9.]+ s/, '') }"
    )


def find(page: Page, images: list[Path]) -> None:
    """Scores images."""
    page.click("#tab-find")
    page.set_input_files("#find-files", images)
    page.locator(".cards li").nth(len(images) - 1).wait_for()


def explore(page: Page) -> None:
    """Goes between two samples."""
    page.click("#tab-explore")
    for number in (0, 5):
        page.locator("#gallery button").nth(number).click()
    page.locator("#way-image").wait_for()
    page.locator("#direction-sliders input").first.wait_for()


def main() -> None:
    """Takes all pictures."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    pae = [sys.executable, "-m", "paecli"]
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        subprocess.run([*pae, "samples", name], check=True, stderr=subprocess.DEVNULL)
        command = [*pae, "serve", MODEL, "--no-browser", "--json", "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        try:
            address = loads(server.stdout.readline())["address"]
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--headless", *(f"--{flag}" for flag in FLAGS.split())],
            )
            page = open_page(browser, address, width=1000, scheme="light")
            restore(page, folder / "img.png")
            shoot(page, out / "serve-restore.png")
            page = open_page(browser, address, width=1000, scheme="dark")
            find(page, sorted((folder / "incoming").rglob("*.png")))
            shoot(page, out / "serve-find.png")
            page = open_page(browser, address, width=360, scheme="light")
            explore(page)
            shoot(page, out / "serve-explore-phone.png")
            browser.close()
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
