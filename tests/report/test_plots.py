from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paecli.report.plots import COLOURS, histograms, loss_curves, roc_curves, training_curves

HISTORY = [
    {"epoch": n, "loss": 1 / n, "held_out": 1.1 / n, "learning_rate": 1e-3} for n in range(1, 6)
]


def test_curves_say_what_they_are(texts: Callable[[], list[str]]) -> None:
    loss_curves(HISTORY, "a run of mine", unit="nats")
    assert {"a run of mine", "epoch", "training loss", "held out\n(nats)", "learning rate"} <= set(
        texts()
    )
    rates = np.linspace(0, 1, 20)
    roc_curves({"far (0.987)": (rates, rates**0.5)}, "Outliers")
    assert {"Outliers", "far (0.987)"} <= set(texts())
    histograms({"near": np.zeros(9), "far": np.ones(9)}, "Scores", label="score (nats)")
    assert {"Scores", "near (9)", "far (9)", "score (nats)"} <= set(texts())


def colours_in(png: bytes) -> set[str]:
    pixels = np.asarray(Image.open(BytesIO(png)).convert("RGB")).reshape(-1, 3)
    return {f"#{r:02X}{g:02X}{b:02X}" for r, g, b in np.unique(pixels, axis=0)}


@pytest.mark.parametrize("shift", [0.0, -50.0])  # a flow's loss may be negative
def test_training_curves_are_written(tmp_path: Path, shift: float) -> None:
    history = [row | {"loss": row["loss"] + shift} for row in HISTORY]
    training_curves(history, tmp_path / "loss.png", "a run", unit="nats")
    drawn = colours_in((tmp_path / "loss.png").read_bytes())
    assert set(COLOURS[:3]) <= drawn


def test_a_single_epoch_can_be_drawn(tmp_path: Path) -> None:
    training_curves(HISTORY[:1], tmp_path / "loss.png", "short")
    assert (tmp_path / "loss.png").stat().st_size > 0
    assert list(tmp_path.iterdir()) == [tmp_path / "loss.png"]


def test_every_curve_has_its_colour() -> None:
    rates = np.linspace(0, 1, 20)
    curves = {f"set {n}": (rates, rates ** (1 / (n + 2))) for n in range(3)}
    drawn = colours_in(roc_curves(curves, "Outliers"))
    assert set(COLOURS[1:4]) <= drawn
    assert not {COLOURS[0], COLOURS[4]} & drawn


def test_a_set_has_one_colour_in_curves_and_histograms() -> None:
    rates = np.linspace(0, 1, 20)
    groups = {"normal": np.zeros(9), "far": np.ones(9)}
    assert {COLOURS[0], COLOURS[1]} <= colours_in(histograms(groups, "Scores", label="score"))
    assert COLOURS[1] in colours_in(roc_curves({"far": (rates, rates**0.5)}, "Outliers"))


def test_histograms_take_what_is_not_finite_and_what_is_constant() -> None:
    groups = {"normal": np.array([1.0, 2.0, np.inf, np.nan]), "constant": np.full(5, 2.0)}
    assert colours_in(histograms(groups, "Scores", label="score (nats)"))
    assert colours_in(histograms({"none": np.array([])}, "Scores", label="score"))
    assert colours_in(histograms({"one": np.array([3.0])}, "Scores", label="score"))
