"""What plots and pictures are drawn of is what it was: lines, images, scales, words and places.

Figures are looked at before they are rendered, since letters differ between machines.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from PIL import Image
from tests.kept_answers import compare, seeded, told

from paecli.outliers.compare_sets import ComparisonSet, SetComparison, SetResult
from paecli.outliers.detection_metrics import measure_detection
from paecli.outliers.flag_images import FlagReport, Region, ScoredImage
from paecli.outliers.map_images import ImageMap
from paecli.report.grid import image_grid
from paecli.report.heat_maps import heat_map, scale_picture
from paecli.report.ood_plots import (
    histogram_picture,
    roc_picture,
    unusual_picture,
    write_comparison,
    write_flags,
)
from paecli.report.pictures import Row, comparison, path_picture, reconstructions
from paecli.report.plots import histograms, loss_curves
from paecli.report.restore_plots import overview
from paecli.restoration.result import Diagnostics, Mode, Restoration


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=seeded(seed))


def words(items: Any) -> list[str]:
    return [text for each in items if (text := each.get_text())]


def ticks(places: Any, limits: tuple[float, float]) -> list[float]:
    return [float(each) for each in places if min(limits) <= each <= max(limits)]


def of_axes(axes: Axes) -> dict[str, Any]:
    legend = axes.get_legend()
    stairs = [each for each in axes.patches if isinstance(each, StepPatch)]
    return {
        "at": [round(each, 4) for each in axes.get_position().bounds],
        "limits": [*axes.get_xlim(), *axes.get_ylim()],
        "scales": [axes.get_xscale(), axes.get_yscale(), axes.axison],
        "words": [axes.get_title(loc="left"), axes.get_title(), axes.get_xlabel(),
                  axes.get_ylabel(), *words(axes.texts)],
        "legend": [] if legend is None else words(legend.get_texts()),
        "lines": [[to_hex(line.get_color()), told(torch.as_tensor(np.asarray(line.get_xydata())))]
                  for line in axes.lines],
        "images": [[told(torch.as_tensor(np.ma.filled(each.get_array(), -1).astype(np.float64))),
                    each.get_cmap().name, *each.get_clim()] for each in axes.images],
        "stairs": [[to_hex(each.get_edgecolor()), told(torch.as_tensor(each.get_data().values)),
                    told(torch.as_tensor(each.get_data().edges))] for each in stairs],
        "ticks": [ticks(axes.get_xticks(), axes.get_xlim()),
                  ticks(axes.get_yticks(), axes.get_ylim())],
        "inside": [of_axes(each) for each in axes.child_axes],
    }  # fmt: skip


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the figures are made of that would have been written."""
    found: list[dict[str, Any]] = []

    def remember(figure: Figure, file: BytesIO, **options: Any) -> None:
        file.write(image_grid(torch.zeros(1, 1, 2, 2)))
        found.append({
            "size": list(figure.get_size_inches()), "dpi": options["dpi"],
            "words": words([*figure.texts, *([figure._suptitle] if figure._suptitle else [])]),
            "legends": [words(each.get_texts()) for each in figure.legends],
            "axes": [of_axes(axes) for axes in figure.axes],
        })  # fmt: skip

    monkeypatch.setattr(Figure, "savefig", remember)
    return found


def set_comparison() -> SetComparison:
    near, far = draw(40).double(), 0.3 + 2 * draw(30, seed=1).double()
    sets = [ComparisonSet(name, torch.zeros(3, 1, 2, 2)) for name in ("own", "other", "third")]
    scores = {"own": {"a": near, "b": -near}, "other": {"a": far, "b": far - 9},
              "third": {"a": near[:9] + 50, "b": near[:9]}}  # fmt: skip
    results = tuple(
        SetResult(name, "", score, len(scores[name][score]), measure_detection(
            scores["own"][score].numpy(), scores[name][score].numpy(), replicates=20
        ))
        for name in ("other", "third") for score in ("a", "b")
    )  # fmt: skip
    return SetComparison(sets[0], 40, tuple(sets[1:]), results, scores, 1.0)


def flag_report(folder: Path, *, count: int, maps: bool = False) -> FlagReport:
    images = tuple(
        ScoredImage(
            folder / f"{number}.png", (1 + number) / 50, number < 2, 9.0 - number, -3.5, 0.1
        )
        for number in range(count)
    )  # fmt: skip
    return FlagReport(
        images, (), "combined", 0.05, None, 99, images[:2], draw(2, 1, 6, 4),
        None if maps else draw(2, 1, 6, 4, seed=1), 1.0,
        3 * draw(2, 1, 6, 4, seed=2) if maps else None,
    )  # fmt: skip


def test_curves_are_drawn_of_the_same(drawn: list[dict[str, Any]]) -> None:
    rows = [{"epoch": n, "loss": 2 / n, "held_out": 3 / n - 1, "learning_rate": n / 10}
            for n in range(1, 5)]  # fmt: skip
    loss_curves(rows, "a run", unit="nats")
    loss_curves([row | {"held_out": 0.5} for row in rows[:1]], "another")
    compared = set_comparison()
    for score in ("a", "b"):
        roc_picture(compared, score)
        histogram_picture(compared, score)
    many = {f"set {number}": draw(20, seed=number).numpy() + number for number in range(9)}
    histograms(many | {"odd": np.array([np.nan, np.inf, 2.0]), "none": np.array([])}, "many",
               label="a score")  # fmt: skip
    compare("plots-curves", drawn)


def test_pictures_are_drawn_of_the_same(drawn: list[dict[str, Any]], tmp_path: Path) -> None:
    x, y = draw(3, 1, 5, 7), draw(3, 1, 5, 7, seed=1)
    x[0, 0, 1, 2] = torch.nan
    comparison([Row("image", x), Row("map", x - 0.5, "signed"), Row("std", 2 * y, "positive")],
               captions="abc", title="All")  # fmt: skip
    comparison([Row("flat", torch.zeros(1, 3, 4, 4), "signed")])
    reconstructions((255 * y).to(torch.uint8), y.flip(-1), "a model")
    path_picture(y[:2], draw(4, 1, 5, 7, seed=2))
    for maps in (False, True):
        unusual_picture(flag_report(tmp_path, count=3, maps=maps))
    scale_picture()
    compare("plots-pictures", drawn)


@pytest.mark.parametrize("count", [2, 9])
def test_an_overview_is_drawn_of_the_same(drawn: list[dict[str, Any]], count: int) -> None:
    images = draw(60, 1, 5, 4, seed=3)
    weights = (0.6, 0.3, 0.06, 0.02, 0.015, 0.005, 0.004)
    modes = tuple(
        Mode(torch.zeros(2), images[number], -1.0, weight) for number, weight in enumerate(weights)
    )
    result = Restoration(
        images[0], images[1], 0.2 * images[2], images[:count], torch.zeros(count, 2),
        images[20:51], modes, 12.4, 10, Diagnostics(None, None, 30.0, None), "laplace", "", 1.0,
    )  # fmt: skip
    damaged = images[9].clone()
    damaged[:, :2] = torch.nan
    overview(result, damaged=damaged, truth=images[10] if count == 9 else None, notes=["a note"])
    compare(f"plots-overview-{count}", drawn)


def test_pages_say_the_same(drawn: list[dict[str, Any]], tmp_path: Path) -> None:
    def said(path: Path) -> list[str]:
        text = path.read_text("utf-8").replace(str(tmp_path), "HERE")
        return [
            line for line in text.splitlines() if "<p>" in line or "<h" in line or "alt" in line
        ]

    compared = said(write_comparison(set_comparison(), tmp_path / "sets"))
    few = said(write_flags(flag_report(tmp_path, count=3), tmp_path / "few"))
    many = said(write_flags(flag_report(tmp_path, count=201), tmp_path / "many"))
    compare("plots-pages", {"sets": compared, "few": few, "many": many[-3:]})


def test_heat_maps_and_grids_are_the_same_pixels() -> None:
    inside = torch.zeros(9, 8, dtype=torch.bool)
    inside[3:5, 2:6] = True
    chances = torch.logspace(-5, 0, 72).view(9, 8)
    found = ImageMap(Path("a.png"), draw(3, 9, 8), chances, chances, inside,
                     (Region((2, 3, 6, 5), 8, 0.1),))  # fmt: skip
    pictures = {"heat": heat_map(found), "grid": image_grid(draw(7, 1, 30, 20)),
                "wide": image_grid(draw(3, 3, 100, 90), columns=2)}  # fmt: skip
    compare("plots-pixels", {
        name: told(torch.from_numpy(np.array(Image.open(BytesIO(png)), np.float64)))
        for name, png in pictures.items()
    })  # fmt: skip
