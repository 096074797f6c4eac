"""What restorations say of held-out images, on test images: guaranteed intervals and false alarms.

Prints for each condition the share of fresh test images that are said to be unlike the model's, the
same for images of another set, flat images and other odd ones, and how many missing pixels the
guaranteed intervals hold. Ends with 1 where, beyond what the number of images explains, they hold
less than promised, or more fresh images than the rate are flagged.

    python benchmarks/guarantee.py fmnist-32 fmnist --odd mnist --images 1000 --data-dir DATA
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from paecli.api import load
from paecli.data import load_dataset
from paecli.data.splitting import content_keys
from paecli.restoration.damage import Damage, check_damage
from paecli.restoration.guarantee.references import RATE, References
from paecli.restoration.masks.drawing import draw_mask

CONDITIONS = {
    "left half": ("left", 0.0),
    "centre box": ("box", 0.0),
    "95 % random": ("random:0.95", 0.0),
    "noise 0.2": ("random:0", 0.2),
}
SIGMAS = 3  # standard errors beyond which a promise is broken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model")
    parser.add_argument("dataset")
    parser.add_argument("--odd", help="a set that the model was not trained on")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--conditions", nargs="*", choices=CONDITIONS, default=[*CONDITIONS])
    parser.add_argument("--confidence", type=float, nargs="*", default=[0.8, 0.9, 0.95])
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    model = load(options.model)
    references = model.references
    fresh = fresh_images(options, references)
    odd = odd_images(options, model.image_shape)
    broken = 0
    for name in options.conditions:
        began = time.process_time()
        broken += not alarms_hold(references, name, fresh, odd)
        for confidence in options.confidence:
            broken += not intervals_hold(references, name, fresh, confidence)
        print(f"  {time.process_time() - began:.0f} s of processor time", flush=True)
    return int(broken > 0)


def fresh_images(options: argparse.Namespace, references: References) -> Tensor:
    """Test images that are not among those compared with, in an order of their own."""
    test = load_dataset(options.dataset, data_dir=options.data_dir).test.images
    used = (references.images * 255).round().byte()
    test = test[~torch.isin(content_keys(test), content_keys(used))]
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))
    return test[order[: options.images]].float() / 255


def odd_images(options: argparse.Namespace, shape: tuple[int, int, int]) -> dict[str, Tensor]:
    levels = torch.linspace(0, 1, 9)[:, None, None, None].expand(-1, *shape)
    noise = torch.rand(20, *shape, generator=torch.Generator().manual_seed(1))
    odd = {"black": levels[:1], "flat": levels[1:], "random pixels": noise}
    if options.odd:
        images = load_dataset(options.odd, data_dir=options.data_dir).test.images
        odd[options.odd] = images[: min(100, options.images)].float() / 255
    return odd


def damaged(images: Tensor, name: str) -> Damage:
    spec, noise = CONDITIONS[name]
    observed = draw_mask(spec, height=images.shape[2], width=images.shape[3])
    draw = torch.Generator().manual_seed(2)
    noisy = images + noise * torch.randn(images.shape, generator=draw)
    shape = (images.shape[1], images.shape[2], images.shape[3])
    return check_damage(noisy, observed[None], noise=noise, image_shape=shape)


def alarms_hold(references: References, name: str, fresh: Tensor, odd: dict[str, Tensor]) -> bool:
    flagged = {
        kind: (references.p_values(damaged(images, name)) <= RATE).float().mean().item()
        for kind, images in {"fresh": fresh, **odd}.items()
    }
    shares = ", ".join(f"{kind} {share:.3f}" for kind, share in flagged.items())
    print(f"{name}: flagged at {RATE}: {shares}", flush=True)
    # the rate of one set of references scatters about RATE, as does the share of the fresh images
    count = len(references.images)
    error = (RATE * (1 - RATE) * (1 / (count + 2) + 1 / len(fresh))) ** 0.5
    return flagged["fresh"] <= RATE + SIGMAS * error


def intervals_hold(references: References, name: str, fresh: Tensor, confidence: float) -> bool:
    damage = damaged(fresh, name)
    found = references.guarantee(damage, confidence)
    asked = ~damage.certain
    inside = (fresh >= found.lower - 1e-6) & (fresh <= found.upper + 1e-6)
    shares = (inside & asked).flatten(1).sum(1) / asked.flatten(1).sum(1)
    error = (shares.std() / len(shares) ** 0.5).item()
    width = (found.upper - found.lower)[asked].mean().item()
    print(
        f"  {confidence:.0%}: holds {shares.mean():.2%} +- {error:.2%} of the missing pixels of "
        f"{len(fresh)} images, factor {found.factor:.2f}, mean width {width:.3f}, set on "
        f"{found.images}",
        flush=True,
    )
    return shares.mean().item() >= confidence - SIGMAS * error


if __name__ == "__main__":
    raise SystemExit(main())
