"""Coverage and error of restorations on test images, beside other methods.

Prints a Markdown table of one row for each condition: five that the intervals were tuned on (on
held-out images), and six that nothing was tuned on.

    pip install scikit-image opencv-python-headless
    python benchmarks/restoration.py runs/fmnist fmnist --images 200 --data-dir DATA

Errors are mean squared errors over the missing pixels (all pixels when none is missing) in
[0, 1] units. Constants were tuned on held-out training images, never on the test split.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, inpaint_biharmonic
from torch import Tensor

from paecli.api import PAE, load
from paecli.data import load_dataset
from paecli.data.dataset import ImageDataset, ImageSplit
from paecli.data.dataset_names import is_named
from paecli.model.held_out_errors import KEPT_IMAGES
from paecli.restoration.masks.drawing import add_noise, draw_mask
from paecli.restoration.solve import METHODS
from paecli.system.heap import keep_freed_memory
from paecli.system.limits import spread
from paecli.training.images import split_data
from paecli.training.settings import DataSettings

NOISE = 0.5
CONDITIONS = {
    "left half": ("left", 0.0),
    "centre box": ("box", 0.0),
    "95 % random": ("random:0.95", 0.0),
    "noise 0.5": ("random:0", NOISE),
    "noise 0.5, left half": ("left", NOISE),
    "centre circle": ("circle", 0.0),
    "strokes of text": ("text", 0.0),
    "every second row": ("rows", 0.0),
    "top half": ("top", 0.0),
    "50 % random": ("random:0.5", 0.0),
    "noise 0.2": ("random:0", 0.2),
}
RADIUS = 0.3  # of the circle, in heights of the image
CHUNK = 20
LEVELS = (0.5, 0.8, 0.95)


@dataclass(frozen=True)
class Row:
    """One condition."""

    condition: str
    images: int
    coverage: dict[str, float]
    inclusive: dict[str, float]
    error: dict[str, float]
    methods: dict[str, int]
    passed: int
    seconds_per_image: float
    cpu_seconds_per_image: float


class ProbabilisticPCA:
    """Tipping & Bishop's model, fitted by maximum likelihood; its posterior is Gaussian."""

    def __init__(self, images: Tensor, size: int) -> None:
        flat = images.flatten(1).double()
        self.mean = flat.mean(0)
        centred = flat - self.mean
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(flat))
        self.variance = values[:-size].mean()
        self.weight = vectors[:, -size:] * (values[-size:] - self.variance).sqrt()

    def restore(self, data: Tensor, observed: Tensor, noise: float) -> Tensor:
        weight = self.weight[observed]
        scale = self.variance + noise**2
        precision = torch.eye(weight.shape[1]).double() + weight.T @ weight / scale
        offset = (data.double() - self.mean)[:, observed]
        latent = torch.linalg.solve(precision, weight.T @ offset.T / scale)
        return (self.mean + latent.T @ self.weight.T).float()


def filled_by_mean(image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    return np.where(missing, image[~missing].mean(), image)


def telea(image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    eight_bit = (image.clip(0, 1) * 255).round().astype(np.uint8)
    return cv2.inpaint(eight_bit, missing.astype(np.uint8), 3, cv2.INPAINT_TELEA) / 255


def biharmonic(image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    return inpaint_biharmonic(np.where(missing, 0, image), missing).clip(0, 1)


INPAINTERS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mean filling": filled_by_mean,
    "biharmonic": biharmonic,
    "Telea": telea,
}


def denoisers() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    return {
        "total variation": lambda image: denoise_tv_chambolle(image, weight=0.6),
        "non-local means": lambda image: denoise_nl_means(
            image, patch_size=5, patch_distance=9, h=0.6 * NOISE, sigma=NOISE
        ),
    }


def mask_of(spec: str, *, height: int, width: int, seed: int) -> Tensor:
    """Returns what is missing, `(height, width)`; also of shapes that the command does not know."""
    down, across = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    if spec == "circle":
        squared = (down - (height - 1) / 2).square() + (across - (width - 1) / 2).square()
        return squared < (RADIUS * height) ** 2
    if spec == "rows":
        return down % 2 == 1
    if spec == "text":
        picture = Image.new("L", (width, height))
        draw = ImageDraw.Draw(picture)
        for line, word in enumerate(("hello", "world")):
            draw.text((0, 2 + 12 * line), word, fill=255)
        return torch.from_numpy(np.asarray(picture) > 60)
    return ~draw_mask(spec, height=height, width=width, seed=seed)


def measure(
    model: PAE, truth: Tensor, pca: ProbabilisticPCA, name: str, *, method: str, seed: int
) -> Row:
    spec, noise = CONDITIONS[name]
    missing = mask_of(spec, height=truth.shape[2], width=truth.shape[3], seed=seed)
    damaged = add_noise(truth, noise=noise, seed=seed)
    among = (missing if missing.any() else ~missing).expand_as(truth[0])
    began, began_cpu = time.perf_counter(), time.process_time()
    restored = []
    for part in damaged.split(CHUNK):
        restored += model.restore_batch(
            part, mask=~missing[None], noise=noise, method=method, seed=seed
        )
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    coverage = [each.coverage(true, among) for each, true in zip(restored, truth, strict=True)]
    inclusive = {
        level: [
            ((true >= low) & (true <= high))[among].float().mean().item()
            for each, true in zip(restored, truth, strict=True)
            for low, high in [each.interval(level)]
        ]
        for level in LEVELS
    }
    mean = torch.stack([each.mean for each in restored])
    best = torch.stack([each.map for each in restored])
    others = baselines(damaged, missing, noise, pca)
    used = [each.method for each in restored]
    return Row(
        condition=name,
        images=len(truth),
        coverage={f"{level:.0%}": float(np.mean([c[level] for c in coverage])) for level in LEVELS},
        inclusive={f"{level:.0%}": float(np.mean(inclusive[level])) for level in LEVELS},
        error={
            label: (found - truth)[:, among].square().mean().item()
            for label, found in {"PAE mean": mean, "PAE best mode": best, **others}.items()
        },
        methods={each: used.count(each) for each in sorted(set(used))},
        passed=sum(bool(each.diagnostics.passed) for each in restored),
        seconds_per_image=seconds / len(truth),
        cpu_seconds_per_image=cpu / len(truth),
    )


def baselines(
    damaged: Tensor, missing: Tensor, noise: float, pca: ProbabilisticPCA
) -> dict[str, Tensor]:
    observed = ~missing.expand_as(damaged[0]).flatten()
    found = {"PPCA": pca.restore(damaged.flatten(1), observed, noise).view_as(damaged)}
    if damaged.shape[1] > 1:  # the others are set up for grey images
        return found
    arrays = damaged[:, 0].numpy()
    if missing.any():
        for label, fill in INPAINTERS.items():
            images = [fill(image, missing.numpy()) for image in arrays]
            found[label] = torch.from_numpy(np.stack(images)).float()[:, None]
    else:
        for label, smooth in denoisers().items():
            images = [smooth(image).clip(0, 1) for image in arrays]
            found[label] = torch.from_numpy(np.stack(images)).float()[:, None]
    return found


def chosen(name: str, total: int, wanted: int) -> list[int]:
    """Returns the numbers of the first images; of a folder, which lies class by class, of some."""
    return list(range(min(wanted, total))) if is_named(name) else spread(total, wanted)


def held_out(name: str, data: ImageDataset) -> ImageSplit:
    """Returns the training images that the presets hold out, without those kept to calibrate."""
    _, held = split_data(DataSettings(dataset=name), data)
    # the shipped models keep the first ones, those that are trained now some of all
    kept = {*range(KEPT_IMAGES), *spread(len(held), KEPT_IMAGES)}
    return held.select(torch.tensor([n for n in range(len(held)) if n not in kept]))


def table(rows: list[Row]) -> str:
    head = ["condition", "images", "50 %", "80 %", "95 %", "inclusive", "trusted", "s"]
    head.append("error of the mean")
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for row in rows:
        errors = ", ".join(f"{label} {value:.4f}" for label, value in row.error.items())
        shares = [f"{100 * share:.1f}" for share in row.coverage.values()]
        inclusive = " / ".join(f"{100 * share:.0f}" for share in row.inclusive.values())
        cells = [*shares, inclusive, str(row.passed), f"{row.cpu_seconds_per_image:.1f}", errors]
        lines.append(" | ".join([row.condition, str(row.images), *cells]))
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("dataset")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--method", choices=METHODS, default="auto")
    parser.add_argument("--conditions", nargs="*", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--split", choices=("held-out", "test"), default="test")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, help="JSON file")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    keep_freed_memory()
    model = load(options.model)
    size = None if is_named(options.dataset) else model.image_shape[-1]
    data = load_dataset(options.dataset, data_dir=options.data_dir, image_size=size)
    train = data.train.images[:10_000].float() / 255
    pool = data.test if options.split == "test" else held_out(options.dataset, data)
    truth = pool.images[chosen(options.dataset, len(pool), options.images)].float() / 255
    pca = ProbabilisticPCA(train, model.latent_size)
    rows: list[Row] = []
    for name in options.conditions:
        rows.append(measure(model, truth, pca, name, method=options.method, seed=options.seed))
        print(json.dumps(asdict(rows[-1])), flush=True)
        if options.out:
            options.out.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    print(table(rows))


if __name__ == "__main__":
    main()
