"""Answers kept in `answers/`: what fixed inputs give, compared value by value.

`PAE_KEEP_ANSWERS=1 pytest tests/test_answers.py` writes them anew: after a change of what is
printed, look at the difference, and say in the change why it is wanted.
"""

import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

FOLDER = Path(__file__).parent / "answers"
KEEP = "PAE_KEEP_ANSWERS"
NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
SHARES = re.compile("#%(, #%)+")  # of modes
RULE = re.compile("━+|─+")
TIMES = {"seconds", "images_per_second"}  # keys of what a clock gave
DIGITS = 6
ABSOLUTE = 2e-5  # by how much figures near 0 may differ


def compare(name: str, found: Any, *, relative: float = 2e-3, figures: bool = True) -> None:
    """Fails where an answer is not the kept one; other processors round other last digits.

    Without `figures` numbers with a fraction are left out: a last digit sends a search elsewhere.
    """
    plain = json.loads(json.dumps(found))
    plain = _rounded(plain) if figures else _without_figures(plain)
    file = FOLDER / f"{name}.json"
    if os.environ.get(KEEP):
        FOLDER.mkdir(exist_ok=True)
        file.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n")
    kept = json.loads(file.read_text())
    different = list(_differences(kept, plain, name, relative))
    hint = f"(wanted? {KEEP}=1 pytest ... writes them anew)"
    assert not different, "\n".join([*different[:20], hint])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def told(values: Tensor) -> dict[str, Any]:
    """Sums a tensor up by figures that see every place of it."""
    flat = values.detach().double().flatten()
    ramp = torch.linspace(-1, 1, len(flat), dtype=torch.float64)
    kept = {"mean": flat.mean(), "size": flat.abs().mean(), "ramp": (flat * ramp).mean(),
            "waves": (flat * (7 * ramp).cos()).mean()}  # fmt: skip
    return {
        "shape": list(values.shape),
        **{name: value.item() for name, value in kept.items()},
        "first": flat[:4].tolist(),
    }


def described_picture(path: Path, *, plot: bool = False) -> dict[str, Any]:
    """Tells a picture of images pixel for pixel, of a plot no more than the size: fonts differ."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.float64)
    if plot:
        return {"size": list(pixels.shape)}
    rows, columns = (np.linspace(-1, 1, size) for size in pixels.shape[:2])
    return {
        "size": list(pixels.shape),
        "mean": pixels.mean((0, 1)).tolist(),
        "spread": float(pixels.std()),
        "up and down": float((pixels.mean((1, 2)) * rows).mean()),
        "left and right": float((pixels.mean((0, 2)) * columns).mean()),
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items() if key not in TIMES}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _without_figures(value: Any) -> Any:
    if isinstance(value, dict):
        left_out = TIMES | {"modes"}  # how many are found is a figure, too
        return {key: _without_figures(each) for key, each in value.items() if key not in left_out}
    if isinstance(value, list):
        return [_without_figures(each) for each in value]
    if isinstance(value, str):
        return SHARES.sub("#%", NUMBER.sub("#", value))
    return "figure" if isinstance(value, float) else value


def _differences(kept: Any, found: Any, where: str, relative: float) -> Iterator[str]:
    if isinstance(kept, dict) and isinstance(found, dict):
        if list(kept) != list(found):
            yield f"{where}: keys {list(kept)} became {list(found)}"
        for key in kept.keys() & found.keys():
            yield from _differences(kept[key], found[key], f"{where}.{key}", relative)
    elif isinstance(kept, list) and isinstance(found, list):
        if len(kept) != len(found):
            yield f"{where}: {len(kept)} became {len(found)}: {found!r:.300}"
        for index, (one, other) in enumerate(zip(kept, found, strict=False)):
            yield from _differences(one, other, f"{where}[{index}]", relative)
    elif isinstance(kept, str) and isinstance(found, str):
        if not _same_text(kept, found, relative):
            yield f"{where}: {kept!r} became {found!r}"
    elif isinstance(kept, float) and isinstance(found, float | int):
        if not math.isclose(kept, found, rel_tol=relative, abs_tol=ABSOLUTE):
            yield f"{where}: {kept} became {found}"
    elif kept != found or type(kept) is not type(found):
        yield f"{where}: {kept!r} became {found!r}"


def _same_text(kept: str, found: str, relative: float) -> bool:
    """Tells whether words are the same, and numbers but for their last digit."""
    if _words(kept) != _words(found):
        return False
    for one, other in zip(NUMBER.findall(kept), NUMBER.findall(found), strict=True):
        last = 10.0 ** -len(one.partition(".")[2].partition("e")[0]) if "." in one else 0.0
        values = (float(text.replace(",", "")) for text in (one, other))
        if not math.isclose(*values, rel_tol=relative, abs_tol=1.01 * last):
            return False
    return True


def _words(text: str) -> list[str]:
    """Returns words with # for numbers; rules of tables are as wide as the numbers in them."""
    return NUMBER.sub("#", RULE.sub(lambda rule: rule[0][0], text)).split()
