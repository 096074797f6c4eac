import pytest
import torch

from paecli.restoration.masks.drawing import add_noise, draw_mask
from paecli.system.errors import UsageError


@pytest.mark.parametrize(
    ("spec", "rows", "columns"),
    [
        ("left", slice(None), slice(0, 2)),
        ("right", slice(None), slice(3, 5)),
        ("top", slice(0, 2), slice(None)),
        ("bottom", slice(2, 4), slice(None)),
        ("box", slice(1, 3), slice(1, 4)),
        ("box:0,1,3,4", slice(1, 4), slice(0, 3)),
    ],
)
def test_shapes_cover_exactly_their_pixels(spec: str, rows: slice, columns: slice) -> None:
    expected = torch.ones(4, 5, dtype=torch.bool)
    expected[rows, columns] = False
    assert torch.equal(draw_mask(spec, height=4, width=5), expected)


def test_random_mask_has_the_fraction_and_depends_on_the_seed_alone() -> None:
    first, again, other = (
        draw_mask("random:0.9", height=100, width=100, seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.float().mean() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("fraction", [0, 1])
def test_random_mask_can_be_empty_or_full(fraction: int) -> None:
    mask = draw_mask(f"random:{fraction}", height=8, width=8)
    assert bool((mask != bool(fraction)).all())


@pytest.mark.parametrize(
    "spec", ["", "middle", "left:3", "random", "random:2", "random:nan", "box:1,2,3",
             "box:3,0,1,4", "box:0,0,9,4", "box:a,b,c,d"],
)  # fmt: skip
def test_other_shapes_are_refused_in_one_line(spec: str) -> None:
    with pytest.raises(UsageError) as refusal:
        draw_mask(spec, height=4, width=5)
    assert "\n" not in str(refusal.value)


def test_noise_has_the_given_size() -> None:
    noisy = add_noise(torch.full((100, 100), 0.5), noise=0.2, seed=3)
    assert noisy.std() == pytest.approx(0.2, rel=0.05)
    assert torch.equal(noisy, add_noise(torch.full((100, 100), 0.5), noise=0.2, seed=3))
