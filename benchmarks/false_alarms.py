"""How often each score flags images like those of the training, for every shipped model.

    python benchmarks/false_alarms.py [MODEL ...] [--data-dir DATA] [--limit 10000]

Test images, which neither the training nor the calibration saw, are scored; each row has the share
with a p-value up to .01, .05 and .1, and in brackets how many standard errors it is from the rate.
The error is that of both samples: the fresh images, and the scores behind the p-values.
"""

import argparse
from pathlib import Path

import torch

from paecli.api import load
from paecli.data import load_dataset
from paecli.model.requirements import FAST_SCORES
from paecli.outliers.conformal import p_values
from paecli.outliers.scores import measure_scores

MODELS = {"fmnist-32": "fmnist", "fmnist-64": "fmnist", "mnist-8": "mnist"}
RATES = (0.01, 0.05, 0.1)
BATCH = 500


def shares(name: str, images: torch.Tensor) -> dict[str, list[tuple[float, float]]]:
    """Returns for each score the share flagged at each rate, and its error in standard errors."""
    model = load(name)
    scores = [score for score in FAST_SCORES if score in model.reference_scores]
    parts = [measure_scores(model, part, scores) for part in images.split(BATCH)]
    found = {}
    for score in scores:
        stored = model.reference_scores[score]
        p = p_values(torch.cat([part[score] for part in parts]), stored)
        drawn = 1 / len(p) + 1 / len(stored)
        flagged = [(p <= rate).double().mean().item() for rate in RATES]
        found[score] = [
            (share, (share - rate) / (rate * (1 - rate) * drawn) ** 0.5)
            for share, rate in zip(flagged, RATES, strict=True)
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", default=list(MODELS))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--limit", type=int, default=10_000)
    arguments = parser.parse_args()
    for name in arguments.models:
        data = load_dataset(MODELS[name], data_dir=arguments.data_dir)
        images = data.test.images[: arguments.limit]
        print(f"{name}, {len(images):,} test images of {MODELS[name]}", flush=True)
        for score, row in shares(name, images).items():
            cells = " | ".join(f"{share:.4f} ({errors:+.1f})" for share, errors in row)
            print(f"| `{score}` | {cells} |", flush=True)


if __name__ == "__main__":
    main()
