"""Rebuilds the paper's posterior figure: MNIST, 8 latents, the left 16 columns missing.

Looks among test images for one whose two best readings share the posterior most evenly, then
draws the readings, the density in the plane through both modes, and samples of each
(Boehm & Seljak, arXiv:2006.05479, section on posterior analysis).

    python benchmarks/bimodal_posterior.py runs/mnist-8 docs/images/bimodal-posterior.png
"""

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from paecli.core.pae import PAE
from paecli.core.posterior import Restoration
from paecli.core.posterior.restore import Damage, build_target
from paecli.core.restoration import measured_inflation
from paecli.data import load_dataset
from paecli.files import write_atomically
from paecli.report.plots import to_png
from paecli.store.runs import load

MISSING_COLUMNS = 16
GRID = 81
SHOWN = 6  # samples of each reading


def most_bimodal(model: PAE, images: Tensor, mask: Tensor) -> tuple[int, Restoration]:
    """Returns the image whose second reading, unlike the first one, weighs most."""
    results = model.restore_batch(images, mask=mask[None], method="mixture", starts=128)

    def balance(result: Restoration) -> float:
        if len(result.modes) < 2:
            return 0.0
        first, second = result.modes[:2]
        return second.weight * float((first.image - second.image).square().mean())

    best = max(range(len(results)), key=lambda index: balance(results[index]))
    return best, results[best]


def density_in_plane(
    model: PAE, image: Tensor, mask: Tensor, modes: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Evaluates the posterior on the plane through both modes that has the most spread.

    Returns:
        Coordinates along the line between the modes and across it, the density relative to
        its maximum `(GRID, GRID)`, and the two unit vectors `(2, k)`.
    """
    along = modes[1] - modes[0]
    distance = along.norm()
    along = along / distance
    across = torch.zeros_like(along)
    across[along.abs().argmin()] = 1.0
    across = across - (across @ along) * along
    across = across / across.norm()
    x = torch.linspace(-0.6, 1.6, GRID) * distance
    y = torch.linspace(-1, 1, GRID) * distance
    grid = modes[0] + x[None, :, None] * along + y[:, None, None] * across
    observed = mask.bool().expand(1, *model.image_shape)
    target = build_target(
        Damage(image[None], observed, 0.0),
        generate=model.generate,
        latent_size=model.latent_size,
        sigma=model.sigma,
        inflation=measured_inflation(model, observed),
    )
    with torch.no_grad():
        log_prob = target.log_prob(grid.reshape(1, GRID * GRID, -1))[0]
    return x, y, (log_prob - log_prob.max()).exp().view(GRID, GRID), torch.stack((along, across))


def draw(model: PAE, image: Tensor, mask: Tensor, result: Restoration, path: Path) -> None:
    modes = torch.stack([mode.u for mode in result.modes[:2]])
    x, y, density, plane = density_in_plane(model, image, mask, modes)
    exact = model.restore(image, mask=mask, method="hmc", samples=256, starts=128)
    nearer = (exact.samples_u[:, None] - modes).norm(dim=-1).argmin(1)
    places = (exact.samples_u - modes[0]) @ plane.T
    figure = Figure(figsize=(10.5, 5.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.35))
    axes = left.subplots()
    levels = torch.tensor([-8.0, -4.5, -2.0, -0.5]).exp().tolist()
    axes.contour(x, y, density, levels=levels, colors="0.3", linewidths=1)
    for reading, colour in enumerate(("#0072B2", "#D55E00")):
        chosen = nearer == reading
        share = chosen.float().mean()
        label = f"reading {'AB'[reading]}: {share:.0%} of the draws"
        axes.scatter(*places[chosen].T, s=9, color=colour, alpha=0.6, label=label)
    axes.set(xlabel="from reading A to reading B", ylabel="across")
    axes.legend(frameon=False, loc="upper left", fontsize="small")
    axes.set_title("posterior in the base space", loc="left", fontsize="medium")
    panels = right.subplots(3, SHOWN)
    top = [("truth", image), ("input", torch.where(mask.bool(), image, 0.5)), ("mean", exact.mean)]
    top += [(f"mode {'AB'[i]}, {mode.weight:.0%}", mode.image) for i, mode in
            enumerate(result.modes[:2])]  # fmt: skip
    rows = [top]
    for reading in range(2):
        drawn = exact.samples[nearer == reading][:SHOWN]
        rows.append([(f"draw of {'AB'[reading]}", each) for each in drawn])
    for line, row in zip(panels, rows, strict=True):
        for panel in line:
            panel.set_axis_off()
        for panel, (title, shown) in zip(line, row, strict=False):
            panel.imshow(shown[0], cmap="gray", vmin=0, vmax=1)
            panel.set_title(title, fontsize="small")
    write_atomically(path, to_png(figure))
    print(f"R-hat {exact.diagnostics.rhat:.3f}, {len(result.modes)} modes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--images", type=int, default=100, help="test images to look at")
    options = parser.parse_args()
    model = load(options.model)
    data = load_dataset("mnist", data_dir=options.data_dir)
    images = data.test.images[: options.images].float() / 255
    mask = torch.ones(images.shape[2:])
    mask[:, :MISSING_COLUMNS] = 0
    best, result = most_bimodal(model, images, mask)
    print(f"test image {best}: weights {[round(mode.weight, 3) for mode in result.modes]}")
    draw(model, images[best], mask, result, options.out)


if __name__ == "__main__":
    main()
