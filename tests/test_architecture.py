"""The picture of the architecture is drawn from the imports as they are."""

import runpy
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "tools" / "architecture.py"


def test_picture_is_what_the_imports_say() -> None:
    script = runpy.run_path(str(SCRIPT))
    assert script["PICTURE"].read_text("utf-8") == script["picture"](), "run `make docs`"


def test_arrows_that_follow_from_others_are_left_out() -> None:
    without_implied = runpy.run_path(str(SCRIPT))["without_implied"]
    imports = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert without_implied(imports) == [("a", "b"), ("b", "c")]
