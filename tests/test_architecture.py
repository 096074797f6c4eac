"""The picture of the architecture is drawn from the imports as they are."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "tools" / "architecture.py"
PACKAGE = ROOT / "src" / "paecli"


def test_picture_is_what_the_imports_say() -> None:
    script = runpy.run_path(str(SCRIPT))
    assert script["PICTURE"].read_text("utf-8") == script["picture"](), "run `make docs`"


def test_arrows_that_follow_from_others_are_left_out() -> None:
    without_implied = runpy.run_path(str(SCRIPT))["without_implied"]
    imports = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert without_implied(imports) == [("a", "b"), ("b", "c")]


def test_the_page_names_what_is_there() -> None:
    table = [
        line.split("|")[1:3]
        for line in (ROOT / "docs" / "architecture.md").read_text("utf-8").splitlines()
        if line.startswith("| `")
    ]
    named = {name for row in table for name in re.findall(r"`([^`]+)`", row[0])}
    there = {
        path.name + "/" * path.is_dir()
        for path in PACKAGE.iterdir()
        if not path.name.startswith("__") and path.name != "py.typed"
    }
    assert named == there
    for folder, text in table:
        within = PACKAGE / folder.strip(" `").split("`")[0]
        for name in re.findall(r"`([a-z_]+(?:\.py|/))`", text):
            assert (within / name).exists(), f"{folder} holds no {name}"
