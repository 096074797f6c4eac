"""Whether a trusted answer is worth its name: each against a run at least ten times as long.

For every image two runs of tempered Monte Carlo with seeds and prior draws of their own: one as
`auto` makes it, and a reference of ten times as many rounds as `auto` may take. Prints how far
their mean images are apart, root mean square over the missing pixels in posterior standard
deviations, and the share of trusted and of untrusted answers within .35. Ends with 1 where fewer
than 9 of 10 trusted ones are.

    python benchmarks/reference_runs.py fmnist-32 fmnist --images 50 --data-dir DATA
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from paecli.api import load
from paecli.data import load_dataset
from paecli.model.model import Model
from paecli.restoration.coordinates import LatentSpace
from paecli.restoration.damage import check_damage
from paecli.restoration.masks.drawing import add_noise
from paecli.restoration.randomness import image_generator
from paecli.restoration.restore import build_target, latent_space, measured_inflation
from paecli.restoration.samplers.agreement import LEAST_SPREAD
from paecli.restoration.samplers.draws import DISAGREEMENT_LIMIT, Draws
from paecli.restoration.samplers.prior_pool import PriorPool
from paecli.restoration.samplers.settle import POPULATIONS, Begin, draw_by_tempering
from paecli.restoration.solve import QUICK_ROUNDS, beginning, draws_needed
from paecli.restoration.target import Target
from paecli.system.heap import keep_freed_memory
from restoration import CONDITIONS, chosen, mask_of

TIMES = 10  # as many rounds as the answer may take
SHARE = 0.9  # of the trusted answers that must agree
SEEDS = (0, 1000)  # of the answer and of the reference


@dataclass(frozen=True)
class Compared:
    """One image: whether its answer is trusted, its distance from the reference, and seconds."""

    trusted: bool
    distance: float
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model")
    parser.add_argument("dataset")
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--conditions", nargs="*", choices=CONDITIONS, default=["95 % random"])
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    keep_freed_memory()
    model = load(options.model)
    images = load_dataset(
        options.dataset, image_size=model.image_shape[1], data_dir=options.data_dir
    ).test.images
    images = images[chosen(options.dataset, len(images), options.images)]
    fails = 0
    for name in options.conditions:
        found = compare(model, images.float() / 255, name)
        trusted = [each.distance for each in found if each.trusted]
        print(f"{options.model}, {name}: {summary(found)}", flush=True)
        near = sum(distance <= DISAGREEMENT_LIMIT for distance in trusted)
        fails += near < SHARE * len(trusted)
    return int(fails > 0)


def compare(model: Model, truth: Tensor, name: str) -> list[Compared]:
    spec, noise = CONDITIONS[name]
    missing = mask_of(spec, height=truth.shape[2], width=truth.shape[3], seed=0)
    damage = check_damage(
        add_noise(truth, noise=noise, seed=0),
        ~missing[None],
        noise=noise,
        image_shape=model.image_shape,
    )
    space = latent_space(model)
    target = build_target(
        damage,
        space=space,
        latent_size=model.latent_size,
        sigma=model.sigma,
        inflation=measured_inflation(model, damage.observed),
    )
    pools = [
        PriorPool(
            space,
            like=target.data,
            populations=POPULATIONS,
            seed=seed,
            draws=draws_needed(model.latent_size),
        )
        for seed in SEEDS
    ]
    found = []
    for index in range(len(truth)):
        found.append(compare_one(target.select(torch.tensor([index])), space, pools))
        print(f"  {index}: {found[-1]}", flush=True)
    return found


def compare_one(base: Target, space: LatentSpace, pools: list[PriorPool]) -> Compared:
    target = space.target(base)
    began = time.process_time()
    begin = beginning(base, space, None)
    answer = run(target, pools[0], SEEDS[0], begin)
    seconds = time.process_time() - began
    reference = run(target, pools[1], SEEDS[1], begin, rounds=TIMES * QUICK_ROUNDS)
    images = [target.wanted(target.images(each.points))[0] for each in (answer, reference)]
    means, spread = [each.mean(0) for each in images], images[1].std(0)
    varies = spread > LEAST_SPREAD
    distance = ((means[0] - means[1]) / spread)[varies].square().mean().sqrt().item()
    return Compared(bool(answer.halves_agree), distance, seconds)


def run(
    target: Target,
    pool: PriorPool,
    seed: int,
    begin: Begin | None,
    *,
    rounds: int | None = None,
) -> Draws:
    generator = image_generator(seed, data=target.data[0], observed=target.observed[0])
    most = rounds or QUICK_ROUNDS
    return draw_by_tempering(target, pool, generator, rounds=most, fewest=rounds or 1, begin=begin)


def summary(found: list[Compared]) -> str:
    parts = []
    for word, trusted in (("trusted", True), ("untrusted", False)):
        distances = torch.tensor([each.distance for each in found if each.trusted == trusted])
        if not len(distances):
            continue
        near = int((distances <= DISAGREEMENT_LIMIT).sum())
        parts.append(
            f"of {len(distances)} {word} answers {near} within {DISAGREEMENT_LIMIT} of the "
            f"reference (median {distances.median():.2f}, largest {distances.max():.2f})"
        )
    seconds = sum(each.seconds for each in found) / len(found)
    return f"{'; '.join(parts)}; {seconds:.1f} s of processor time for an answer"


if __name__ == "__main__":
    raise SystemExit(main())
