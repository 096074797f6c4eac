"""Makes the pictures of the documents anew: `python tools/pictures.py [NAME ...]`, all by default.

Each is made by the commands that the page beside it shows, or by another script that this one runs.
Needs Chromium for the page of `pae serve`, and the test set of MNIST for `bimodal-posterior.png`.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("svg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paecli import load
from paecli.data import load_dataset

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
# what is copied, and the commands that make it; all run in one folder
MADE_BY_COMMANDS = {
    "restored.png": ("restored/overview.png", "inpaint pictures/img.png --mask box"),
    "unusual.png": ("unusual.png", "ood pictures/incoming --picture unusual.png"),
    "samples.png": ("samples/grid.png", "sample -n 16"),
    "overview.png": ("tour/overview.png", "demo --model fmnist-32 --out tour"),
}
# what a script makes, and how it is called
MADE_BY_SCRIPTS = {
    ("architecture.svg",): "tools/architecture.py",
    ("serve-restore.png", "serve-find.png", "serve-explore-phone.png"): "tools/page_screenshots.py",
    ("bimodal-posterior.png",): "benchmarks/bimodal_posterior.py mnist-8 "
    "docs/images/bimodal-posterior.png",
}
STAGES = "stages.svg"
SHOWN = 5  # test image in the picture of the stages


def run(folder: Path, line: str) -> None:
    """Runs a command of `pae` in a folder."""
    subprocess.run([sys.executable, "-m", "paecli", *line.split()], cwd=folder, check=True)


def draw_stages(path: Path) -> None:
    """Draws an image, its latent, its base vector and its reconstruction, as the model has them."""
    pae = load("fmnist-32")
    image = load_dataset("fmnist-mini").test.images[SHOWN : SHOWN + 1]
    z = pae.encode(image)
    flow = pae.require_flow()
    u = flow.to_base(z)[0]
    figure = Figure(figsize=(9, 1.9))
    columns = figure.add_gridspec(1, 4, wspace=0.8, left=0.01, right=0.99, top=0.84, bottom=0.02)
    panels = [figure.add_subplot(columns[place]) for place in range(4)]
    titles = ("image x", "latent z", "base vector u ~ N(0, I)", "reconstruction g(z)")
    white = flow.whiten(z)[0].detach().numpy()
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title, fontsize=10, color="#5f6b76")
        panel.set_axis_off()
    panels[0].imshow(image[0, 0], cmap="gray")
    panels[3].imshow(pae.decode(z)[0, 0].detach(), cmap="gray")
    for panel, values in ((panels[1], white), (panels[2], u[0].detach().numpy())):
        panel.bar(range(len(values)), values, color="#0f8a8a", width=0.8)
        panel.set_ylim(-3, 3)
    _arrow(figure, panels[0], panels[1], "stage 1: encoder f")
    _arrow(figure, panels[1], panels[2], "stage 2: flow h")
    _arrow(figure, panels[2], panels[3], "h inverse,: decoder g")
    figure.savefig(path, metadata={"Date": None})  # white, on a dark page, too


def _arrow(figure: Figure, left: Axes, right: Axes, text: str) -> None:
    start, end = left.get_position(), right.get_position()
    y = (start.y0 + start.y1) / 2
    figure.add_artist(
        matplotlib.patches.FancyArrowPatch(
            (start.x1 + 0.01, y), (end.x0 - 0.01, y), arrowstyle="->", mutation_scale=14,
            color="#5f6b76", transform=figure.transFigure,
        )
    )  # fmt: skip
    middle, label = (start.x1 + end.x0) / 2, text.replace(": ", "\n")
    figure.text(middle, y + 0.06, label, ha="center", fontsize=8, color="#5f6b76")


def main(names: list[str]) -> None:
    """Makes the pictures of these names."""
    scripts = {name: line for group, line in MADE_BY_SCRIPTS.items() for name in group}
    wanted = names or [*MADE_BY_COMMANDS, STAGES, *scripts]
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        run(folder, "samples pictures")
        for name in wanted:
            if name == STAGES:
                draw_stages(IMAGES / STAGES)
            elif name in MADE_BY_COMMANDS:
                made, line = MADE_BY_COMMANDS[name]
                run(folder, line)
                shutil.copyfile(folder / made, IMAGES / name)
    for line in dict.fromkeys(scripts[name] for name in wanted if name in scripts):
        subprocess.run([sys.executable, *line.split()], cwd=ROOT, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
