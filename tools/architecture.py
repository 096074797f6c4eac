"""Draws docs/images/architecture.svg from the imports in src/paecli: run `make docs`.

Above: the folders in their layers, with the first sentence of each one's docstring. An arrow says
"imports"; arrows that follow from others are left out. Below: the modules that an image passes.
"""

import ast
from html import escape
from pathlib import Path
from textwrap import wrap

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "paecli"
PICTURE = ROOT / "docs" / "images" / "architecture.svg"

# From above to below; tests/test_house.py holds the imports to them.
LAYERS = (
    ("cli",),
    ("serve",),
    ("report",),
    ("demo", "diagnosis"),
    ("api", "train", "export", "watching"),
    ("training", "outliers", "restoration", "evaluation", "sampling"),  # the subjects
    ("data", "store"),
    ("model",),
    ("system",),
)
# The modules that an image passes, in order, and what it is there.
WAYS = {
    "training": (
        ("data.datasets", "images, uint8"),
        ("training.augmentation", "a batch, shifted"),
        ("training.objectives", "loss of a reconstruction"),
        ("training.loop", "a better autoencoder"),
        ("training.flow", "latents; then their density"),
        ("train", "held-out errors and scores"),
        ("store.checkpoint", "model.safetensors"),
    ),
    "scoring": (
        ("data.images.files", "pixels in [0, 1]"),
        ("model.autoencoder", "latent z, reconstruction"),
        ("model.flow", "base vector u, log p(z)"),
        ("outliers.ingredients", "the parts of all scores"),
        ("outliers.scores", "a number, high = unusual"),
        ("outliers.conformal", "a p-value"),
        ("cli.outlier_images", "a line; flagged or not"),
    ),
    "restoring": (
        ("data.images.files", "pixels in [0, 1]"),
        ("restoration.masks", "which are missing"),
        ("restoration.target", "a density over u"),
        ("restoration.modes", "its modes and shapes"),
        ("restoration.samplers.draws", "draws, with diagnostics"),
        ("restoration.restore", "mean, spread, samples"),
        ("report.restore_plots", "pictures"),
    ),
}

WIDTH, BOX, HEIGHT, GAP, SPACE = 1200, 222, 72, 34, 14
LETTERS = 36  # in a line of a box
STEP, STEP_HEIGHT = 148, 56
STYLE = (
    "text{font:12px sans-serif;fill:#222}.name{font-weight:bold;font-size:14px}"
    ".small{font-size:10.5px;fill:#555}.box{fill:#f4f6fb;stroke:#5b6b8c}"
    ".module{font-size:11px}.step{fill:#fbf6ec;stroke:#a08c5b}.arrow{fill:none;stroke:#8a94a8}"
)


def module_names() -> dict[str, Path]:
    """Returns the files of the package by module name, `__init__` by its folder's."""
    return {
        ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): file
        for file in sorted(PACKAGE.rglob("*.py"))
    }


def imports_of_folders() -> dict[str, set[str]]:
    """Returns which folders (or single modules) import which others."""
    known = {name for layer in LAYERS for name in layer}
    found: dict[str, set[str]] = {name: set() for name in known}
    for name, file in module_names().items():
        own = name.split(".")[0]
        if own not in known:
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("paecli"):
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                found[own] |= {used.split(".")[1] for used in names if used.count(".")} & known
        found[own].discard(own)
    return found


def without_implied(imports: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Returns the arrows that do not follow from others."""

    def below(name: str) -> set[str]:
        return imports[name].union(*(below(used) for used in imports[name]))

    return [
        (name, used)
        for name in sorted(imports)
        for used in sorted(imports[name])
        if not any(used in below(other) for other in imports[name] - {used})
    ]


def purpose(name: str) -> str:
    """Returns the first sentence of a folder's or module's docstring."""
    doc = ast.get_docstring(ast.parse(module_names()[name].read_text("utf-8"))) or ""
    return " ".join(doc.split("\n\n")[0].split()).replace("`", "")


def places() -> dict[str, tuple[float, float]]:
    """Returns the upper left corner of every box."""
    corners = {}
    for row, layer in enumerate(LAYERS):
        left = (WIDTH - len(layer) * BOX - (len(layer) - 1) * SPACE) / 2
        for column, name in enumerate(layer):
            corners[name] = (left + column * (BOX + SPACE), 10 + row * (HEIGHT + GAP))
    return corners


def folder_box(name: str, x: float, y: float) -> list[str]:
    """Draws a folder with its name and purpose."""
    lines = wrap(purpose(name), LETTERS)[:3]
    shown = name if (PACKAGE / name).is_dir() else f"{name}.py"
    return [
        f'<rect class="box" x="{x:g}" y="{y:g}" width="{BOX}" height="{HEIGHT}" rx="6"/>',
        f'<text class="name" x="{x + 9:g}" y="{y + 19:g}">{shown}</text>',
        *(
            f'<text class="small" x="{x + 9:g}" y="{y + 35 + 13 * index:g}">{escape(line)}</text>'
            for index, line in enumerate(lines)
        ),
    ]


def passages(layer: tuple[str, ...], corners: dict[str, tuple[float, float]]) -> list[float]:
    """Returns where an arrow can pass a layer: left of its boxes, between them, and right."""
    return [corners[layer[0]][0] - SPACE / 2, *(corners[n][0] + BOX + SPACE / 2 for n in layer)]


def arrow(name: str, used: str, corners: dict[str, tuple[float, float]]) -> str:
    """Draws a curve from the lower edge of one box to the upper edge of another.

    It never goes behind a box: layers on the way are passed where they leave room.
    """
    rows = {each: row for row, layer in enumerate(LAYERS) for each in layer}
    x, y = corners[name][0] + BOX / 2, corners[name][1] + HEIGHT
    end = corners[used][0] + BOX / 2
    path = f"M{x:g} {y:g}"
    for row in range(rows[name] + 1, rows[used] + 1):
        last = row == rows[used]
        towards = x + (end - x) / (rows[used] - row + 1)
        room = [end] if last else passages(LAYERS[row], corners)
        there = min(room, key=lambda each: abs(each - towards))
        top, middle = 10 + row * (HEIGHT + GAP) - 5 * last, y + GAP / 2
        path += f" C{x:g} {middle:g} {there:g} {middle:g} {there:g} {top:g}"
        path += "" if last else f" V{top + HEIGHT:g}"
        x, y = there, top + HEIGHT
    return f'<path class="arrow" marker-end="url(#tip)" d="{path}"/>'


def way(title: str, steps: tuple[tuple[str, str], ...], y: float) -> list[str]:
    """Draws the modules that an image passes, from left to right."""
    known = module_names()
    drawn = [f'<text class="name" x="10" y="{y + 32:g}">{title}</text>']
    for index, (module, becomes) in enumerate(steps):
        assert module in known, f"there is no module {module}"
        x = 86 + index * (STEP + 8)
        drawn += [
            f'<rect class="step" x="{x}" y="{y:g}" width="{STEP}" height="{STEP_HEIGHT}" rx="6"/>',
            f'<text class="module" x="{x + 7}" y="{y + 22:g}">{module}</text>',
            f'<text class="small" x="{x + 7}" y="{y + 41:g}">{escape(becomes)}</text>',
        ]
        if index:
            drawn.append(
                f'<path class="arrow" marker-end="url(#tip)" d="M{x - 8} {y + 28:g} H{x - 1}"/>'
            )
    return drawn


def picture() -> str:
    """Returns the whole picture as SVG."""
    corners = places()
    parts = [arrow(a, b, corners) for a, b in without_implied(imports_of_folders())]
    for name, (x, y) in corners.items():
        parts += folder_box(name, x, y)
    top = 40 + len(LAYERS) * (HEIGHT + GAP)
    heading = "What an image passes, and what it is there"
    parts.append(f'<text class="name" x="10" y="{top - 16:g}">{heading}</text>')
    for index, (title, steps) in enumerate(WAYS.items()):
        parts += way(title, steps, top + index * (STEP_HEIGHT + 18))
    height = top + len(WAYS) * (STEP_HEIGHT + 18)
    tip = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#8a94a8"/></marker></defs>'
    )
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    title = "<title>The folders of pae, and the way of an image</title>"
    back = f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    return "\n".join([head, title, f"<style>{STYLE}</style>", tip, back, *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(picture(), "utf-8")
