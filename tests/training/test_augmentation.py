import pytest
import torch

from paecli.training.augmentation import augment


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nothing_asked_changes_nothing() -> None:
    x = torch.rand(5, 1, 8, 8)
    assert torch.equal(augment(x, generator=generator()), x)


def test_shift_moves_whole_pixels_and_fills_with_black() -> None:
    x = torch.ones(16, 1, 6, 6)
    y = augment(x, generator=generator(), shift=1, shift_probability=1.0)
    assert y.shape == x.shape
    assert set(y.unique().tolist()) <= {0.0, 1.0}
    assert (y[:, :, 1:-1, 1:-1] == 1).all()
    assert (y == 0).any()


def test_shift_moves_different_groups_differently() -> None:
    x = torch.rand(1, 1, 9, 9).expand(64, -1, -1, -1)
    y = augment(x, generator=generator(), shift=2, shift_probability=1.0)
    assert len(y.unique(dim=0)) > 2


def test_flip_mirrors_about_the_chosen_share() -> None:
    x = torch.rand(2000, 1, 3, 3)
    y = augment(x, generator=generator(), horizontal_flip=0.3)
    flipped = (y == x.flip(-1)).all(-1).all(-1).squeeze(1)
    kept = (y == x).all(-1).all(-1).squeeze(1)
    assert (flipped | kept).all()
    assert flipped.float().mean().item() == pytest.approx(0.3, abs=0.05)


def test_rotation_by_no_angle_is_the_identity_and_by_some_is_not() -> None:
    x = torch.rand(4, 3, 11, 11)
    still = augment(x, generator=generator(), rotation=1e-6)
    assert torch.allclose(still, x, atol=1e-4)
    assert not torch.allclose(augment(x, generator=generator(), rotation=30), x, atol=0.1)


def test_brightness_stays_in_range() -> None:
    y = augment(torch.rand(50, 1, 4, 4), generator=generator(), brightness=0.9)
    assert y.min() >= 0
    assert y.max() <= 1


def test_brightness_scales_every_image_by_a_factor_of_its_own() -> None:
    x = torch.full((4000, 1, 2, 2), 0.5)
    factors = augment(x, generator=generator(), brightness=0.4) / x
    first = factors[:, 0, 0, 0]
    assert torch.equal(factors, first.view(-1, 1, 1, 1).expand_as(x))
    # uniform between 0.6 and 1.4
    assert first.min().item() == pytest.approx(0.6, abs=0.01)
    assert first.max().item() == pytest.approx(1.4, abs=0.01)
    assert first.mean().item() == pytest.approx(1.0, abs=0.02)
    assert first.std().item() == pytest.approx(0.8 / 12**0.5, abs=0.01)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_groups_are_shifted_as_often_as_asked(probability: float) -> None:
    draw = generator()
    x = torch.rand(8, 1, 9, 9)  # a group an image
    kept = [
        (augment(x, generator=draw, shift=3, shift_probability=probability) == x).flatten(1).all(1)
        for _ in range(300)
    ]
    moved = 1 - torch.stack(kept).float().mean().item()
    # one shift in 49 is by nothing
    assert moved == pytest.approx(probability * 48 / 49, abs=0.03 * bool(probability))


def test_same_generator_seed_gives_the_same_images() -> None:
    x = torch.rand(32, 1, 8, 8)
    options = {"shift": 2, "horizontal_flip": 0.5, "rotation": 10.0, "brightness": 0.3}
    first = augment(x, generator=generator(3), **options)
    assert torch.equal(first, augment(x, generator=generator(3), **options))
    assert not torch.equal(first, augment(x, generator=generator(4), **options))


def test_batches_smaller_than_the_groups_work() -> None:
    assert augment(torch.rand(1, 1, 8, 8), generator=generator(), shift=1).shape == (1, 1, 8, 8)
