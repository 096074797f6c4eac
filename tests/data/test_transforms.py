import pytest
import torch

from paecli.data.sets.named_sets import TRANSFORM_NAMES
from paecli.data.transforms import TRANSFORMS, transform_images
from paecli.system.errors import UsageError

IMAGES = torch.tensor([[[[0, 1], [2, 255]]], [[[9, 9], [9, 9]]]], dtype=torch.uint8)


@pytest.mark.parametrize(
    ("name", "first"),
    [("hflip", [1, 0, 255, 2]), ("vflip", [2, 255, 0, 1]), ("invert", [255, 254, 253, 0])],
)
def test_known_results(name: str, first: list[int]) -> None:
    assert transform_images(name, IMAGES, 0)[0].flatten().tolist() == first


@pytest.mark.parametrize("name", TRANSFORMS)
def test_keeps_shape_and_type_and_leaves_its_input_alone(name: str) -> None:
    before = IMAGES.clone()
    changed = transform_images(name, IMAGES, 0)
    assert (changed.shape, changed.dtype) == (IMAGES.shape, torch.uint8)
    assert torch.equal(IMAGES, before)


@pytest.mark.parametrize("name", ["noise", "constant"])
def test_random_ones_follow_the_seed(name: str) -> None:
    images = torch.zeros(50, 3, 4, 4, dtype=torch.uint8)
    drawn = [transform_images(name, images, seed) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert drawn[0].float().std() > 50


def test_constant_images_are_constant() -> None:
    images = transform_images("constant", torch.zeros(5, 3, 4, 4, dtype=torch.uint8), 0)
    assert torch.equal(images.amax((1, 2, 3)), images.amin((1, 2, 3)))


def test_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match="hflip, vflip"):
        transform_images("flip", IMAGES, 0)


def test_the_names_known_without_torch_are_the_transforms() -> None:
    assert tuple(TRANSFORMS) == TRANSFORM_NAMES
