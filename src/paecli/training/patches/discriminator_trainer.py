"""Trains the discriminator on patches of good images and of images with painted defects."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from paecli.model.patches.discriminator import Discriminator
from paecli.training.patches.feature_maps import FeatureMap, PaintedMap

MOST_GOOD = 20_000  # patches of good images, and as many of the others, that are learnt from
MOST_DEFECTIVE = 120  # patches of an image
DEFECTIVE = 0.08  # share of a patch from which on it counts as defective; below, it is left out
HARDEST = 200  # good patches of an image that look most defective
EPOCHS, MORE_EPOCHS = 3, 3
BATCH, SMALLEST_BATCH = 1024, 32
FEWEST_BATCHES = 20  # an epoch, so that few patches are learnt from in smaller batches
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 0.01
WEIGHT = 0.25  # of all defective patches, beside 1 for all good ones


def train_discriminator(maps: Sequence[FeatureMap], *, weight: float, seed: int) -> Discriminator:
    """Trains a discriminator, then goes on with the good patches that it gets most wrong.

    Hard examples are mined once, as for classifiers of image windows (Felzenszwalb et al.,
    IEEE TPAMI 32, 2010).

    Args:
        maps: of images that have painted ones.
        weight: of its log odds in the score of a patch.
        seed: of weights, of what is drawn, and of the order.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        good, defective = _patches(maps)
        discriminator = Discriminator(size=good.shape[1], weight=weight)
        discriminator.fit_scale(good)
        _fit(discriminator, good, defective, EPOCHS)
        hardest = [_hardest(discriminator, each.patches) for each in maps]
        _fit(discriminator, torch.cat((good, *hardest)), defective, MORE_EPOCHS)
    return discriminator.eval()


def _patches(maps: Sequence[FeatureMap]) -> tuple[Tensor, Tensor]:
    """Draws good and defective patches, `(n, size)` and `(m, size)`."""
    most = max(MOST_GOOD // len(maps), 1)
    good = [_draw(each.patches, most) for each in maps]
    defective = []
    for painted in [each.painted for each in maps if each.painted is not None]:
        untouched, defects = _split(painted)
        good.append(_draw(untouched, most))
        defective.append(_draw(defects, MOST_DEFECTIVE))
    return torch.cat(good), torch.cat(defective)


def _split(painted: PaintedMap) -> tuple[Tensor, Tensor]:
    patches, share = painted.features.flatten(1).T, painted.defective.flatten()
    return patches[~painted.touched.flatten()], patches[share >= DEFECTIVE]


def _draw(patches: Tensor, most: int) -> Tensor:
    return patches[torch.randperm(len(patches))[:most]]


@torch.no_grad()
def _hardest(discriminator: Discriminator, patches: Tensor) -> Tensor:
    odds = discriminator.eval()(patches)
    return patches[odds.topk(min(HARDEST, len(odds))).indices]


def _fit(discriminator: Discriminator, good: Tensor, defective: Tensor, epochs: int) -> None:
    """Minimises the cross-entropy; the rate rises and falls once (Smith & Topin, 2019)."""
    patches = torch.cat((good, defective))
    labels = torch.cat((torch.zeros(len(good)), torch.ones(len(defective))))
    weights = torch.where(labels > 0, WEIGHT * len(patches) / max(len(defective), 1), 1.0)
    optimiser = torch.optim.AdamW(
        discriminator.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )
    batch_size = min(max(len(patches) // FEWEST_BATCHES, SMALLEST_BATCH), BATCH)
    steps = epochs * -(-len(patches) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    discriminator.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(patches)).split(batch_size):
            odds = discriminator(patches[batch])
            losses = F.binary_cross_entropy_with_logits(odds, labels[batch], reduction="none")
            optimiser.zero_grad()
            (losses * weights[batch]).mean().backward()
            optimiser.step()
            schedule.step()
