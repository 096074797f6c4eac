import torch

from paecli.training.patches.discriminator_trainer import train_discriminator
from paecli.training.patches.feature_maps import FeatureMap, PaintedMap

SIZE, GRID = 6, (8, 9)


def image(seed: int, *, painted: bool = True) -> FeatureMap:
    """Patches of N(0, I); where they are painted, the first feature is 3 or -3."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(SIZE, *GRID, generator=generator)
    other = torch.randn(SIZE, *GRID, generator=generator)
    defects = torch.rand(GRID, generator=generator) < 0.1
    sign = torch.rand(GRID, generator=generator).round() * 2 - 1
    other[0] = torch.where(defects, 3 * sign, other[0])
    found = PaintedMap(other, defects.float(), defects) if painted else None
    return FeatureMap(features, 100, 120, found)


def test_it_learns_what_painted_patches_have_in_common() -> None:
    found = train_discriminator([image(n) for n in range(15)], weight=1.0, seed=0)
    fresh = [image(n).painted for n in range(100, 110)]
    assert all(each is not None for each in fresh)
    odds = torch.cat([found(each.features.flatten(1).T) for each in fresh if each])
    truth = torch.cat([each.touched.flatten() for each in fresh if each])
    assert (odds[truth][:, None] > odds[~truth]).float().mean() > 0.95
    assert not found.training


def test_a_seed_gives_the_same_weights_and_leaves_others_numbers_alone() -> None:
    maps = [image(n) for n in range(4)]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again = (train_discriminator(maps, weight=1.0, seed=1) for _ in range(2))
    assert torch.rand(3).equal(expected)
    for one, two in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert one.equal(two)


def test_images_without_visible_defects_do_no_harm() -> None:
    good = image(0)
    assert good.painted is not None
    nothing = PaintedMap(good.features, torch.zeros(GRID), torch.zeros(GRID, dtype=torch.bool))
    found = train_discriminator([FeatureMap(good.features, 100, 120, nothing)], weight=1.0, seed=0)
    assert found(good.patches).isfinite().all()
