"""Pictures of a restoration: what was given, what came out, and how sure it is."""

from collections.abc import Sequence
from textwrap import fill

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from paecli.data.images.files import png_of
from paecli.report.grid import as_pixels, image_grid
from paecli.report.pictures import COLOUR_MAPS
from paecli.report.plots import to_png
from paecli.restoration.files import RestoredFile
from paecli.restoration.result import Restoration
from paecli.system.files import write_atomically
from paecli.system.names import visible

ROWS, COLUMNS = 4, 6
LEAST_WEIGHT = 0.005  # modes below it are not shown
INCHES = 1.35  # of a panel, each way
LETTERS_PER_LINE = 100


def write_pictures(restored: RestoredFile) -> None:
    """Writes the pictures of a restoration to its files.

    Raises:
        WriteError: a file cannot be written.
    """
    files = restored.files
    for key, picture in pictures(restored).items():
        write_atomically(files[key], picture)


def pictures(restored: RestoredFile) -> dict[str, bytes]:
    """Draws best mode, mean, standard deviation (255 = 1.0), samples and the overview.

    Returns:
        PNG files by their keys in `RestoredFile.files`.
    """
    result = restored.restoration
    ends = {}
    if restored.guarantee is not None:
        ends = {
            "lower_file": png_of(restored.guarantee.lower, own=True),
            "upper_file": png_of(restored.guarantee.upper, own=True),
        }
    unlike = restored.likeness.warning if restored.likeness else ""
    notes = [*restored.mask_notes, *([unlike] if unlike else [])]
    return {
        **ends,
        "map_file": png_of(result.map, own=True),
        "mean_file": png_of(result.mean, own=True),
        "std_file": png_of(result.std, own=True),
        "samples_file": image_grid(result.samples),
        "overview_file": overview(
            result, damaged=restored.damaged, truth=restored.truth, notes=notes
        ),
    }


def overview(
    result: Restoration,
    *,
    damaged: Tensor,
    truth: Tensor | None = None,
    notes: Sequence[str] = (),
) -> bytes:
    """Draws truth, input, mask, restorations, uncertainty, modes and samples.

    Samples come twice: as the posterior has them, smooth as all that is decoded, and with the
    error of each pixel drawn, which is what the true image may look like.

    Args:
        result: the restoration.
        damaged: `(c, h, w)` the input, NaN where missing.
        truth: `(c, h, w)` the undamaged image, if known.
        notes: sentences for the user, such as how the mask was read.

    Returns:
        A PNG file.
    """
    modes = [mode for mode in result.modes if mode.weight >= LEAST_WEIGHT][:COLUMNS]
    layout = ConstrainedLayoutEngine(rect=(0, 0, 0.94, 1))  # leaves room for the scale of `std`
    figure = Figure(figsize=(INCHES * COLUMNS / 0.94, 1.2 * INCHES * ROWS + 0.3), layout=layout)
    axes = figure.subplots(ROWS, COLUMNS, squeeze=False)
    for each in axes.flat:
        each.set_axis_off()
    known = [] if truth is None else [("truth", truth)]
    missing = damaged.isnan().any(0, keepdim=True).float()
    given = [*known, ("input", damaged), (f"missing, {missing.mean():.1%}", missing)]
    answer = [("best mode", result.map), ("mean", result.mean)]
    for panel, (title, image) in zip(axes[0], [*given, *answer], strict=False):
        _show(panel, image, title)
    _show_uncertainty(axes[0, len(given) + len(answer)], result.std)
    for panel, mode in zip(axes[1], modes, strict=False):
        _show(panel, mode.image, f"mode, {mode.weight:.0%}")
    chosen = torch.linspace(0, len(result.samples) - 1, COLUMNS).round().long()
    # the draws that the samples were taken from, see `Restoration.predictive`
    drawn = torch.linspace(0, len(result.predictive) - 1, len(result.samples)).long()[chosen]
    for number in range(COLUMNS):
        _show(axes[2, number], result.samples[chosen[number]], f"sample {number + 1}")
        _show(axes[3, number], result.predictive[drawn[number]], "with pixel errors")
    fit = f"chi-squared {result.chi2:.0f} for {result.degrees_of_freedom} observed values"
    lines = [f"method {result.method}, {fit}", *notes]
    wrapped = [fill(visible(line), LETTERS_PER_LINE) for line in lines]
    figure.suptitle("\n".join(wrapped), fontsize="small", parse_math=False)
    return to_png(figure)


def _show(panel: Axes, image: Tensor, title: str) -> None:
    panel.imshow(as_pixels(image[None])[0], interpolation="nearest")
    panel.set_title(title, fontsize="small")
    panel.set(frame_on=True, xticks=(), yticks=())
    panel.set_axis_on()


def _show_uncertainty(panel: Axes, std: Tensor) -> None:
    values = std.detach().cpu().mean(0).numpy()
    shown = panel.imshow(values, COLOUR_MAPS["positive"], vmin=0, interpolation="nearest")
    panel.set_title("std", fontsize="small")
    scale = panel.inset_axes((1.04, 0, 0.06, 1))
    scale.set_in_layout(False)  # else the columns are unevenly spaced
    panel.figure.colorbar(shown, cax=scale, ticks=MaxNLocator(3))
