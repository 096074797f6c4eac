"""Are the shipped models what their cards say, on the full test sets?

    python benchmarks/shipped_models.py [MODEL ...] [--data-dir FOLDER]

For each model of the bundled registry (or those named) it measures the card's metrics again on
the data the card names, checks the file against the index's SHA-256 and the data against the
header's hash, and prints both figures side by side. Exits with 1 when one of them differs by
more than 5e-4 of itself: float32 sums in another order (other threads, other memory layout)
moved them by up to 1e-4 here.
"""

import argparse
import re
import sys
from pathlib import Path

import torch

from paecli.store.registry import ask_registry, fetch_model
from paecli.store.runs import load_with_header
from paecli.system.files import hash_file
from paecli.system.progress import NullProgress
from paecli.training.autoencoder import read_data, reconstruction_mse, split_data
from paecli.training.settings import as_recorded, check

TOLERANCE = 5e-4


def read_card(path: Path) -> dict[str, float]:
    """Returns the metrics that a model card lists."""
    lines = re.findall(r"^- (\w+_(?:mse|nll)): (\S+)$", path.read_text("utf-8"), re.MULTILINE)
    return {name: float(value) for name, value in lines}


def measure(name: str, data_dir: Path | None) -> dict[str, float]:
    """Measures a model's metrics on all the data its card names."""
    model, header = load_with_header(name)
    settings = check(as_recorded(header.config), where=name).autoencoder.data
    data = read_data(settings, data_dir=data_dir, progress=NullProgress())
    if data.content_hash != header.data["content_hash"]:
        sys.exit(f"{data.source} is not the data that {name} was trained on; see --data-dir")
    _, held_out = split_data(settings, data)
    found = {}
    for part, images in {"held_out": held_out.images, "test": data.test.images}.items():
        found[f"{part}_mse"] = reconstruction_mse(model.autoencoder, images)
        found[f"{part}_nll"] = -model.log_prob(images).double().mean().item()
    return found


def main() -> None:
    entries = {
        entry.name: entry for entry in ask_registry("bundled").entries if entry.kind == "model"
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", default=list(entries))
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'model':12}{'metric':16}{'card':>14}{'index':>14}{'measured':>14}{'difference':>12}")
    wrong = []
    for name in arguments.models:
        entry, file = entries[name], fetch_model(name)
        if hash_file(file) != entry.files[0].sha256:
            wrong.append(f"{name}: the file is not the one of the index")
        card, found = read_card(file.with_suffix(".md")), measure(name, arguments.data_dir)
        for metric in entry.metrics:
            difference = found[metric] / entry.metrics[metric] - 1
            print(
                f"{name:12}{metric:16}{card[metric]:14.7g}{entry.metrics[metric]:14.7g}"
                f"{found[metric]:14.7g}{difference:12.1e}",
                flush=True,
            )
            if (
                abs(difference) > TOLERANCE
                or f"{entry.metrics[metric]:.6g}" != f"{card[metric]:.6g}"
            ):
                wrong.append(f"{name}: {metric}")
    if wrong:
        sys.exit(f"not as the card says: {'; '.join(wrong)}")
    print("all as the cards say")


if __name__ == "__main__":
    main()
