"""What `combined` sees, beside the best of all single scores, and how often it is wrong.

    python benchmarks/combined.py [MODEL ...] [--data-dir DATA] [--photos FOLDER] [--split held-out]

Kinds of unusual images are made of test images (or of held-out training images, to choose by), or
are others: digits or clothes, random strokes, photographs in grey. The table has the share flagged
at .05; the last lines the shares of fresh images flagged at .01, .05 and .1, and the AUROC of the
sets that the paper has. `orientation`, which asks another question, is no rival.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from paecli.api import load
from paecli.data import hold_out, load_dataset
from paecli.data.images.files import read_images
from paecli.data.images.listing import find_images
from paecli.model.held_out_errors import calibration_part
from paecli.model.requirements import FAST_SCORES
from paecli.outliers.conformal import p_values
from paecli.outliers.scores import measure_with_parts

SCORES = tuple(name for name in FAST_SCORES if name != "orientation")
RATES = (0.01, 0.05, 0.1)
OTHER = {"fmnist": "mnist", "mnist": "fmnist"}
SIDE = 28


def strokes(count: int, generator: torch.Generator) -> Tensor:
    """Draws one to four cubic curves an image."""
    images = []
    for _ in range(count):
        picture = Image.new("L", (4 * SIDE, 4 * SIDE))
        for _ in range(int(torch.randint(1, 5, (1,), generator=generator))):
            a, b, c, d = torch.rand(4, 2, generator=generator) * 90 + 11
            t = torch.linspace(0, 1, 20)[:, None]
            curve = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
            points = [(x, y) for x, y in curve.tolist()]
            ImageDraw.Draw(picture).line(points, fill=255, width=7, joint="curve")
        images.append(TF.to_tensor(picture.resize((SIDE, SIDE), Image.Resampling.BOX)))
    return torch.stack(images)


def rotated(x: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    signs = torch.randint(0, 2, (len(x),), generator=generator) * 2.0 - 1
    turn = InterpolationMode.BILINEAR
    pairs = zip(x, (degrees * signs).tolist(), strict=True)
    return torch.stack([TF.rotate(image, angle, interpolation=turn) for image, angle in pairs])


def shifted(x: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    moves = torch.randint(-pixels, pixels + 1, (len(x), 2), generator=generator)
    moves[(moves == 0).all(1), 0] = pixels
    pairs = zip(x, moves.tolist(), strict=True)
    return torch.stack([TF.affine(image, 0.0, move, 1.0, [0.0]) for image, move in pairs])


def erased(x: Tensor, generator: torch.Generator) -> Tensor:
    x = x.clone()
    for image in x:
        top, left = torch.randint(4, 17, (2,), generator=generator).tolist()
        image[:, top : top + 8, left : left + 8] = 0
    return x


def kinds(x: Tensor, other: Tensor, photos: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yields names and images `(n, 1, 28, 28)` in [0, 1]."""
    generator = torch.Generator().manual_seed(5)
    y = x[torch.randperm(len(x), generator=generator)]
    yield "digits or clothes", other
    yield "strokes", strokes(len(x), generator)
    if len(photos):
        yield "photographs", photos
    yield "flat grey", torch.rand(len(x), 1, 1, 1, generator=generator).expand(x.shape)
    yield "half contrast", x / 2
    yield "blurred, sigma 1", TF.gaussian_blur(x, 7, 1.0)
    yield "blurred, sigma 2", TF.gaussian_blur(x, 11, 2.0)
    for sigma in (0.02, 0.05, 0.1, 0.2):
        noise = sigma * torch.randn(x.shape, generator=generator)
        yield f"noise of {sigma:g}", (x + noise).clamp(0, 1)
    for pixels in (2, 4):
        yield f"shifted up to {pixels}", shifted(x, pixels, generator)
    for degrees in (15.0, 30.0):
        yield f"rotated by {degrees:g}", rotated(x, degrees, generator)
    yield "quarter turn", x.rot90(1, (2, 3))
    middle = SIDE // 2
    yield "spliced side by side", torch.cat((x[..., :middle], y[..., middle:]), 3)
    yield "spliced on top", torch.cat((x[:, :, :middle], y[:, :, middle:]), 2)
    yield "square erased", erased(x, generator)
    yield "upside down", x.flip(2)
    yield "mirrored", x.flip(3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=["fmnist-32", "fmnist-64", "mnist-8"])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--photos", type=Path, help="folder of photographs")
    parser.add_argument("--split", choices=("test", "held-out"), default="test")
    parser.add_argument("--images", type=int, default=1000, help="of each kind")
    parser.add_argument("--fresh", type=int, default=10_000, help="in-distribution images")
    options = parser.parse_args()
    for name in options.models:
        report(name, options)


def report(name: str, options: argparse.Namespace) -> None:
    model = load(name)
    own = name.partition("-")[0]
    sets = {each: load_dataset(each, data_dir=options.data_dir) for each in OTHER}
    if options.split == "test":
        normal, other = sets[own].test.images, sets[OTHER[own]].test.images
    else:
        held_out = hold_out(sets[own].train, fraction=1 / 12, seed=0, by="position")[1]
        normal, other = calibration_part(held_out.images), sets[OTHER[own]].train.images
    photos = torch.zeros(0, 1, SIDE, SIDE)
    if options.photos:
        files = find_images([options.photos])
        files = files[:: max(len(files) // options.images, 1)][: options.images]
        read, _ = read_images(files, image_shape=(1, SIDE, SIDE))
        photos = torch.stack([image.pixels for image in read])
    few = normal[: options.images].float() / 255
    fresh, _ = measure_with_parts(model, normal[: options.fresh], SCORES)
    print(f"\n{name}, {options.split} images, {len(few):,} of each kind: share flagged at .05\n")
    print("| kind | best single | its share | `combined` | difference | AUROC | which part |")
    print("|---|---|---|---|---|---|---|")
    for kind, images in kinds(few, other[: options.images].float() / 255, photos):
        scores, parts = measure_with_parts(model, (images * 255).round().to(torch.uint8), SCORES)
        shares = {score: flagged(model, score, scores[score], 0.05) for score in SCORES}
        combined = shares.pop("combined")
        best = max(shares, key=lambda score: shares[score])
        both = torch.cat((fresh["combined"], scores["combined"]))
        truth = torch.arange(len(both)) >= len(fresh["combined"])
        print(
            f"| {kind} | `{best}` | {shares[best]:.3f} | {combined:.3f} | "
            f"{combined - shares[best]:+.3f} | {roc_auc_score(truth, both):.4f} | "
            f"{most_frequent(parts or ['none'])} |",
            flush=True,
        )
    print(f"\nof {len(fresh['combined']):,} fresh images flagged at .01, .05 and .1:\n")
    for score in SCORES:
        rates = (flagged(model, score, fresh[score], rate) for rate in RATES)
        print(f"| `{score}` | " + " | ".join(f"{share:.4f}" for share in rates) + " |")


def flagged(model: torch.nn.Module, score: str, values: Tensor, rate: float) -> float:
    return (p_values(values, model.reference_scores[score]) <= rate).double().mean().item()


def most_frequent(parts: list[str]) -> str:
    first = max(set(parts), key=parts.count)
    return f"{first} ({parts.count(first) / len(parts):.0%})"


if __name__ == "__main__":
    main()
