"""Which images are held out, and that a content stays on its side."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paecli.data import ImageSplit, SplitRule, content_keys, hold_out
from paecli.system.errors import DataError


def numbered(count: int, *, start: int = 0) -> ImageSplit:
    """Image i holds the digits of the number i, which is its label."""
    values = torch.arange(start, start + count)
    pixels = torch.stack((values // 256, values % 256), dim=1).to(torch.uint8)
    return ImageSplit(pixels.view(-1, 1, 1, 2), values, ("a",))


def numbers(split: ImageSplit) -> list[int]:
    assert split.labels is not None
    pixels = split.images.flatten(1).long()
    assert (256 * pixels[:, 0] + pixels[:, 1]).tolist() == split.labels.tolist()
    return split.labels.tolist()


@settings(deadline=None)  # the machine may be busy
@given(
    count=st.integers(2, 200),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**31),
    by=st.sampled_from(["content", "position"]),
)
def test_every_image_is_on_one_side(count: int, fraction: float, seed: int, by: SplitRule) -> None:
    kept, held_out = hold_out(numbered(count), fraction=fraction, seed=seed, by=by)
    assert sorted(numbers(kept) + numbers(held_out)) == list(range(count))
    assert len(kept)
    assert len(held_out)
    if by == "position":
        assert len(held_out) == min(max(round(fraction * count), 1), count - 1)


@pytest.mark.parametrize("by", ["content", "position"])
def test_the_seed_draws_and_nothing_else(by: SplitRule) -> None:
    parts = [
        numbers(hold_out(numbered(100), fraction=0.2, seed=seed, by=by)[1]) for seed in (3, 3, 4)
    ]
    assert parts[0] == parts[1] != parts[2]


def test_images_stay_on_their_side_whatever_else_there_is() -> None:
    _, held_out = hold_out(numbered(1000), fraction=0.1, seed=0)
    shuffled = numbered(1300).select(torch.randperm(1300)[:900])
    kept_later, held_out_later = hold_out(shuffled, fraction=0.1, seed=0)
    assert not set(numbers(held_out)) & set(numbers(kept_later))
    assert not {*range(1000)} - set(numbers(held_out)) & set(numbers(held_out_later))


def test_about_the_asked_part_is_held_out() -> None:
    _, held_out = hold_out(numbered(10_000), fraction=0.1, seed=0)
    assert len(held_out) == pytest.approx(1000, abs=4 * 30)  # binomial, deviation 30


def test_copies_are_on_the_same_side() -> None:
    images = numbered(100)
    twice = ImageSplit(torch.cat((images.images, images.images)))
    kept, held_out = (content_keys(part.images) for part in hold_out(twice, fraction=0.3, seed=1))
    assert not torch.isin(kept, held_out).any()


def test_purposes_draw_independently() -> None:
    kept, _ = hold_out(numbered(2000), fraction=0.3, seed=0, purpose="test")
    _, held_out = hold_out(kept, fraction=0.3, seed=0, purpose="tuning")
    assert len(held_out) == pytest.approx(0.3 * len(kept), rel=0.2)


def test_the_rule_of_position_is_that_of_version_0_1() -> None:
    _, held_out = hold_out(numbered(12), fraction=0.25, seed=0, by="position")
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    assert numbers(held_out) == sorted(order[:3].tolist())


@pytest.mark.parametrize("by", ["content", "position"])
@pytest.mark.parametrize("count", [0, 1])
def test_two_images_are_needed(count: int, by: SplitRule) -> None:
    with pytest.raises(DataError, match="at least 2"):
        hold_out(numbered(count), fraction=0.5, seed=0, by=by)


def test_copies_of_one_image_cannot_be_divided() -> None:
    with pytest.raises(DataError, match="all 5 images are the same"):
        hold_out(ImageSplit(torch.zeros(5, 1, 2, 2, dtype=torch.uint8)), fraction=0.5, seed=0)


def test_keys_tell_shapes_and_pixels_apart() -> None:
    images = torch.arange(24, dtype=torch.uint8).view(2, 1, 3, 4)
    keys = content_keys(images)
    assert len(keys.unique()) == len(keys) == 2
    assert torch.equal(content_keys(images.flip(0)), keys.flip(0))
    assert not torch.isin(content_keys(images.view(2, 1, 4, 3)), keys).any()
    strided = images.repeat(1, 2, 1, 1)[:, :1]
    assert torch.equal(content_keys(strided), keys)
    assert content_keys(images[:0]).shape == (0,)


def test_keys_do_not_change_between_versions() -> None:
    # model files hold them
    images = torch.arange(4, dtype=torch.uint8).view(1, 1, 2, 2)
    assert content_keys(images).tolist() == [-3189964796805817344]
