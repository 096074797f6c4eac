"""Rebuilds the paper's posterior figure: MNIST, 8 latents, the left 16 columns missing.

Looks among test images for one whose two best readings share the posterior most evenly and
whose importance sampling passes its diagnostics. Then draws the readings, the posterior in a
plane of the base space through both modes, and samples near each
(Boehm & Seljak, arXiv:2006.05479, section on posterior analysis).

    python benchmarks/bimodal_posterior.py runs/mnist-8 docs/images/bimodal-posterior.png
"""

import argparse
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde
from torch import Tensor

from paecli.api import PAE, load
from paecli.data import load_dataset
from paecli.report.plots import to_png
from paecli.restoration.result import Restoration
from paecli.system.files import write_atomically
from paecli.system.heap import keep_freed_memory

MISSING_COLUMNS = 16
GRID = 81
SHOWN = 6  # samples of each reading


def most_bimodal(model: PAE, images: Tensor, mask: Tensor) -> tuple[int, Restoration]:
    """Returns the image with the most evenly split readings whose draws can be trusted."""
    results = model.restore_batch(images, mask=mask[None], method="is", samples=256, starts=128)

    def balance(result: Restoration) -> float:
        if len(result.modes) < 2 or not result.diagnostics.passed:
            return 0.0
        first, second = result.modes[:2]
        share = min(each.weight for each in (first, second))
        return share * float((first.image - second.image).square().mean())

    best = max(range(len(results)), key=lambda index: balance(results[index]))
    return best, results[best]


def plane_of(draws: Tensor, modes: Tensor) -> Tensor:
    """Returns two unit vectors `(2, k)`: between the modes, and where draws spread most beside."""
    along = modes[1] - modes[0]
    along = along / along.norm()
    offset = draws - draws.mean(0)
    beside = offset - (offset @ along)[:, None] * along
    return torch.stack((along, torch.linalg.svd(beside, full_matrices=False).Vh[0]))


def draw(image: Tensor, mask: Tensor, result: Restoration, path: Path) -> None:
    modes = torch.stack([mode.u for mode in result.modes[:2]])
    plane = plane_of(result.samples_u, modes)
    nearer = (result.samples_u[:, None] - modes).norm(dim=-1).argmin(1)
    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.35))
    draw_plane(left.subplots(), (result.samples_u - modes[0]) @ plane.T, nearer,
               (modes - modes[0]) @ plane.T)  # fmt: skip
    top = [("truth", image), ("input", torch.where(mask.bool(), image, 0.5)), ("mean", result.mean)]
    for name, mode in zip("AB", result.modes[:2], strict=True):
        top.append((f"mode {name}, {mode.weight:.0%}", mode.image))
    rows = [top]
    for reading, name in enumerate("AB"):
        drawn = result.samples[nearer == reading]
        chosen = torch.linspace(0, len(drawn) - 1, min(SHOWN, len(drawn))).long()
        rows.append([(f"draw near {name}", each) for each in drawn[chosen]])
    panels = right.subplots(3, SHOWN)
    for panel in panels.flat:
        panel.set_axis_off()
    for line, row in zip(panels, rows, strict=True):
        for panel, (title, shown) in zip(line, row, strict=False):
            panel.imshow(shown[0], cmap="gray", vmin=0, vmax=1)
            panel.set_title(title, fontsize="small")
    write_atomically(path, to_png(figure))


def draw_plane(axes: Axes, places: Tensor, nearer: Tensor, modes: Tensor) -> None:
    """Draws the draws in the plane, and contours of their density."""
    low, high = places.min(0).values - 0.4, places.max(0).values + 0.4
    x, y = (torch.linspace(low[axis], high[axis], GRID) for axis in range(2))
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy")).reshape(2, -1)
    density = gaussian_kde(places.T.numpy())(grid.numpy()).reshape(GRID, GRID)
    axes.contour(x, y, density, levels=6, colors="0.4", linewidths=0.8)
    for reading, colour in enumerate(("#0072B2", "#D55E00")):
        chosen, name = nearer == reading, "AB"[reading]
        label = f"nearer to {name}: {chosen.float().mean():.0%} of the draws"
        axes.scatter(*places[chosen].T, s=8, color=colour, alpha=0.6, label=label)
        axes.annotate(name, modes[reading].tolist(), weight="bold", color=colour, size="x-large")
    axes.set(xlabel="from mode A to mode B", ylabel="across, where the draws spread most")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=2,
                fontsize="x-small")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--images", type=int, default=100, help="test images to look at")
    options = parser.parse_args()
    keep_freed_memory()
    model = load(options.model)
    data = load_dataset("mnist", data_dir=options.data_dir)
    images = data.test.images[: options.images].float() / 255
    mask = torch.ones(images.shape[2:])
    mask[:, :MISSING_COLUMNS] = 0
    best, result = most_bimodal(model, images, mask)
    weights = [round(mode.weight, 3) for mode in result.modes]
    print(f"test image {best}: weights {weights}, {result.diagnostics}")
    draw(images[best], mask, result, options.out)


if __name__ == "__main__":
    main()
