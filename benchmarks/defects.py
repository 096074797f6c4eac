"""Defects in photographs: pae's model of patches beside PatchCore and PaDiM.

    python benchmarks/defects.py FOLDER MODEL [--only pae] [--json out.json]

FOLDER holds `train`, `test/good`, `test/DEFECT...` and `masks/DEFECT` (white = defective); MODEL
is a run folder that `pae train-ae FOLDER --features ...` and `pae train-flow` wrote. All methods
see the same training images and work on the same features of images of the same working size:

- PatchCore (Roth et al., CVPR 2022): features averaged over 3 x 3 cells at the finest stride, a
  greedy coreset of 10 % of them (distances after a random projection to 128), distance to the
  nearest of it, image score weighted by 9 neighbours, map blurred by 4 pixels.
- PaDiM (Defard et al., 2021): a Gaussian for each cell, here of 16 x 16, since images differ in
  size; 100 random features, map blurred by 4 pixels.

It prints AUROC of images, and of pixels, AUPRO, the best IoU, the share of good test images with
a region, and the time an image takes (processor time, without reading the file).
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from paecli.data.images.listing import images_below
from paecli.data.images.photographs import list_photographs, read_photograph
from paecli.data.images.truth_masks import match_masks, read_truth
from paecli.model.patches.lite0 import Lite0
from paecli.model.patches.model import PatchPAE, enlarge, fit_area, image_score
from paecli.outliers.localisation import localise
from paecli.outliers.regions import region_threshold
from paecli.store.feature_weights import open_photo_network
from paecli.store.runs import load_scorer

CORESET = 0.1
PROJECTED = 128
MOST_MEMORY = 50_000  # patches before the coreset, whose time is quadratic; of more, every n-th
BLUR = 4.0  # pixels
CELLS = 16
PADIM_FEATURES = 100
STAGES = (2, 4)  # the last of strides 8 and 16, the counterparts of PatchCore's levels 2 and 3
RATE = 0.05

Score = Callable[[Tensor], tuple[Tensor, float]]  # image -> map (h, w), score of the image


@dataclass(frozen=True)
class Row:
    """What a method reached."""

    method: str
    image_auroc: float
    pixel_auroc: float
    aupro: float
    best_iou: float
    good_with_region: float | None
    milliseconds: float
    training_seconds: float | None


class Patches:
    """PatchCore's features, on the finest grid."""

    def __init__(self, network: Lite0, area: int) -> None:
        self.network, self.area = network, area

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        scaled = fit_area(image[None].expand(-1, 3, -1, -1), self.area)
        maps = self.network.stage_maps(scaled * 255, last=max(STAGES))
        local = [F.avg_pool2d(maps[stage], 3, 1, 1) for stage in STAGES]
        grid = local[0].shape[-2:]
        fine = [local[0], F.interpolate(local[1], size=grid, mode="bilinear")]
        return torch.cat(fine, dim=1)[0]


def patchcore(features: Patches, files: Sequence[Path]) -> Score:
    memory = torch.cat([features(read_photograph(file)).flatten(1).T for file in files])
    memory = memory[:: -(-len(memory) // MOST_MEMORY)]
    memory = memory[greedy_coreset(memory, round(CORESET * len(memory)))]
    squared = memory.square().sum(1)

    def score(image: Tensor) -> tuple[Tensor, float]:
        found = features(image)
        patches = found.flatten(1).T
        nearest = [nearest_of(part, memory, squared) for part in patches.split(256)]
        distance = torch.cat([each[0] for each in nearest])
        index = torch.cat([each[1] for each in nearest])
        worst = int(distance.argmax())
        centre = memory[index[worst]]
        around = (memory - centre).norm(dim=1).topk(9, largest=False).indices
        near = (memory[around] - patches[worst]).norm(dim=1)
        weight = 1 - torch.softmax(near, 0)[0]
        whole = enlarge(distance.view(found.shape[1:]), (image.shape[-2], image.shape[-1]))
        return blurred(whole), float(weight * distance[worst])

    return score


def nearest_of(patches: Tensor, memory: Tensor, squared: Tensor) -> tuple[Tensor, Tensor]:
    distances = squared - 2 * patches @ memory.T + patches.square().sum(1, keepdim=True)
    found = distances.min(1)
    return found.values.clamp_min(0).sqrt(), found.indices


def greedy_coreset(patches: Tensor, count: int) -> Tensor:
    """Takes again and again the patch that is farthest from those that are taken."""
    generator = torch.Generator().manual_seed(0)
    projection = torch.randn(patches.shape[1], PROJECTED, generator=generator) / PROJECTED**0.5
    x = patches @ projection
    squared = x.square().sum(1)
    chosen = [0]
    distance = torch.full_like(squared, torch.inf)
    for _ in range(count - 1):
        newest = x[chosen[-1]]
        distance = torch.minimum(distance, squared - 2 * x @ newest + newest.square().sum())
        chosen.append(int(distance.argmax()))
    return torch.tensor(chosen)


def padim(features: Patches, files: Sequence[Path]) -> Score:
    generator = torch.Generator().manual_seed(0)
    first = features(read_photograph(files[0]))
    taken = torch.randperm(len(first), generator=generator)[:PADIM_FEATURES]

    def cells(image: Tensor) -> Tensor:
        found = features(image)[taken]
        return F.adaptive_avg_pool2d(found, CELLS).flatten(1).T

    x = torch.stack([cells(read_photograph(file)) for file in files]).double()
    mean = x.mean(0)
    centred = (x - mean).transpose(0, 1)
    covariance = centred.transpose(1, 2) @ centred / (len(x) - 1)
    covariance += 0.01 * torch.eye(PADIM_FEATURES)
    inverse = torch.linalg.inv(covariance).float()
    mean = mean.float()

    def score(image: Tensor) -> tuple[Tensor, float]:
        off = (cells(image) - mean)[:, None]
        distance = (off @ inverse @ off.transpose(1, 2)).flatten().sqrt().view(CELLS, CELLS)
        scores = blurred(enlarge(distance, (image.shape[-2], image.shape[-1])))
        return scores, float(scores.max())

    return score


def blurred(scores: Tensor) -> Tensor:
    return torch.from_numpy(ndimage.gaussian_filter(scores.numpy(), BLUR))


def ours(model: PatchPAE) -> Score:
    def score(image: Tensor) -> tuple[Tensor, float]:
        cells = model.compare(model.score_cells(image))
        return enlarge(cells, (image.shape[-2], image.shape[-1])), image_score(cells)

    return score


def measure(
    method: str,
    score: Score,
    folder: Path,
    *,
    threshold: float | None = None,
    training_seconds: float | None = None,
) -> Row:
    files = images_below(folder / "test")
    masks = match_masks(files, folder / "masks")
    maps, truths, values, seconds = [], [], [], 0.0
    for file in files:
        image = read_photograph(file)
        start = time.process_time()
        scores, value = score(image)
        seconds += time.process_time() - start
        maps.append(scores.numpy())
        truths.append(read_truth(masks.get(file), size=(image.shape[1], image.shape[2])).numpy())
        values.append(value)
    defective = [bool(truth.any()) for truth in truths]
    found = localise(maps, truths)
    good = [scores.max() for scores, bad in zip(maps, defective, strict=True) if not bad]
    flagged = None if threshold is None else sum(peak > threshold for peak in good) / len(good)
    return Row(
        method=method,
        image_auroc=float(roc_auc_score(defective, values)),
        pixel_auroc=found.pixel_auroc,
        aupro=found.aupro,
        best_iou=found.best_iou,
        good_with_region=flagged,
        milliseconds=1000 * seconds / len(files),
        training_seconds=training_seconds,
    )


def peers(folder: Path, area: int, which: Sequence[str]) -> list[Row]:
    kept = list_photographs(folder).files
    rows = []
    for name, fit in (("PatchCore", patchcore), ("PaDiM", padim)):
        if which and name.lower() not in which:
            continue
        start = time.process_time()
        score = fit(Patches(open_photo_network(), area), kept)
        rows.append(measure(name, score, folder, training_seconds=time.process_time() - start))
        show(rows[-1])
    return rows


def show(row: Row) -> None:
    cells = [f"{row.image_auroc:.4f}", f"{row.pixel_auroc:.4f}", f"{row.aupro:.4f}"]
    cells += [
        f"{row.best_iou:.4f}",
        "" if row.good_with_region is None else f"{row.good_with_region:.3f}",
    ]
    cells += [f"{row.milliseconds:.0f}"]
    cells += ["" if row.training_seconds is None else f"{row.training_seconds:.0f}"]
    print(f"| {row.method} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--only", nargs="*", default=[], help="pae, patchcore, padim")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print("| method | images | pixels | AUPRO | best IoU | good with region | ms | training s |")
    print("|---|---|---|---|---|---|---|---|")
    model, _ = load_scorer(options.model)
    if not isinstance(model, PatchPAE):
        raise SystemExit(f"{options.model} is no model of patches; train it with --features")
    rows = []
    if not options.only or "pae" in options.only:
        threshold = region_threshold(model.reference_peaks, RATE)
        name = f"pae, {model.features.name}"
        rows.append(measure(name, ours(model), options.folder, threshold=threshold))
        show(rows[-1])
    rows += peers(options.folder, model.area, options.only)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
