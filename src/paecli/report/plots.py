"""Curves of a run or an evaluation, as PNG; drawn without pyplot's global state."""

import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from paecli.system.files import write_atomically
from paecli.system.names import visible
from paecli.system.outputs import SOFTWARE

# Okabe and Ito's colours, told apart with every kind of colour vision; yellow is too light here
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")  # so that curves differ in print, too
DOTS_PER_INCH = 150
LETTERS_PER_INCH = 9  # of a title
LEGEND: dict[str, Any] = {"frameon": False, "fontsize": "small"}


def training_curves(
    history: Sequence[Mapping[str, float]], path: Path, title: str, *, unit: str = ""
) -> None:
    """Writes `loss_curves` to a PNG file, which is replaced whole.

    Raises:
        WriteError: the file cannot be written.
    """
    write_atomically(path, loss_curves(history, title, unit=unit))


def loss_curves(history: Sequence[Mapping[str, float]], title: str, *, unit: str = "") -> bytes:
    """Draws what a training run recorded against the epoch, each quantity on an axis of its own.

    The training loss is not on the axis of the held-out metric: it may be another quantity
    (a flow's is per latent), and it is measured on augmented images.

    Args:
        history: one row an epoch, with `epoch`, `loss`, `held_out` and `learning_rate`.
        title: heading of the picture.
        unit: unit of the held-out metric, for its axis.

    Returns:
        A PNG file.
    """
    figure = Figure(figsize=(6.4, 6.0), layout="constrained")
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(2, 2, 1))
    epochs = [row["epoch"] for row in history]
    labels = ("training loss", f"held out\n({unit})" if unit else "held out", "learning rate")
    for index, key in enumerate(("loss", "held_out", "learning_rate")):
        values = [row[key] for row in history]
        panels[index].plot(epochs, values, color=COLOURS[index], marker=".")
        panels[index].set_ylabel(labels[index])
        if index < 2 and min(values) > 0:
            panels[index].set_yscale("log")
        _tidy(panels[index], title if index == 0 else "")
    panels[2].set(xlabel="epoch", xlim=(0, max(epochs) + 0.5))
    panels[2].xaxis.set_major_locator(MaxNLocator(integer=True))
    return to_png(figure)


def roc_curves(curves: Mapping[str, tuple[ArrayLike, ArrayLike]], title: str) -> bytes:
    """Draws receiver operating characteristics.

    The first colour is left to the reference images, so that a histogram with these first gives
    every other set the colour of its curve.

    Args:
        curves: for each legend entry the false- and the true-positive rates, each in [0, 1].
        title: heading of the picture.

    Returns:
        A PNG file.
    """
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axes = figure.subplots()
    lines = axes.plot((0, 1), (0, 1), ":", color="0.6")
    for index, (false_positive, true_positive) in enumerate(curves.values(), start=1):
        colour, dash = _style(index)
        lines += axes.plot(false_positive, true_positive, color=colour, linestyle=dash)
    axes.set(xlabel="false-positive rate", ylabel="true-positive rate", aspect="equal")
    legend = axes.legend(lines, _names("guessing", *curves), loc="lower right", **LEGEND)
    _take_literally(legend)
    _tidy(axes, title)
    return to_png(figure)


def histograms(groups: Mapping[str, ArrayLike], title: str, *, label: str) -> bytes:
    """Draws how a quantity is distributed in several groups, as densities on common bins.

    Args:
        groups: for each legend entry its values; values that are not finite are left out.
        title: heading of the picture.
        label: the quantity and its unit.

    Returns:
        A PNG file. The axis covers the central 98 % of each group; the rest is in the end bins.
    """
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    finite = {name: _finite(values) for name, values in groups.items()}
    edges = _common_edges(list(finite.values()))
    outlines = []
    for index, values in enumerate(finite.values()):
        clipped = np.clip(values, edges[0], edges[-1])
        heights = np.histogram(clipped, edges)[0] / max(len(values), 1)
        colour, dash = _style(index)
        outlines.append(axes.stairs(heights, edges, color=colour, linestyle=dash))
        axes.stairs(heights, edges, color=colour, fill=True, alpha=0.12)
    axes.set(xlabel=label, ylabel="share of the images")
    names = _names(*(f"{name} ({len(values):,})" for name, values in finite.items()))
    _take_literally(figure.legend(outlines, names, loc="outside lower center", ncols=2, **LEGEND))
    _tidy(axes, title)
    return to_png(figure)


def to_png(figure: Figure) -> bytes:
    """Renders a figure."""
    buffer = BytesIO()
    # the time of making is left out, so that equal pictures are equal files
    with warnings.catch_warnings():
        # the font lacks letters of most scripts; they are drawn as boxes
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing", UserWarning)
        figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata=SOFTWARE)
    return buffer.getvalue()


def _style(index: int) -> tuple[str, str]:
    return COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]


def _tidy(axes: Axes, title: str = "") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    if title:
        figure = axes.get_figure(root=True)
        letters = int(LETTERS_PER_INCH * figure.get_figwidth()) if figure else None
        heading = axes.set_title(fill(visible(title), letters or 60), loc="left", size="medium")
        heading.set(weight="bold", parse_math=False)


def _names(*names: str) -> list[str]:
    return [visible(name) for name in names]


def _take_literally(legend: Legend) -> None:
    """Keeps dollar signs in names from being read as formulas."""
    for text in legend.get_texts():
        text.set_parse_math(False)


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).ravel()
    return array[np.isfinite(array)]


def _common_edges(groups: Sequence[NDArray[np.float64]], bins: int = 60) -> list[float]:
    ranges = [np.percentile(values, (1, 99)) for values in groups if len(values)]
    if not ranges:
        return [0.0, 1.0]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return list(np.linspace(low, high, bins + 1))
