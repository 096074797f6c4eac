import pytest
import torch

from paecli.data import load_dataset
from paecli.data.sets.named_sets import BUNDLED


@pytest.mark.parametrize("name", BUNDLED)
def test_counts_shapes_and_balance(name: str) -> None:
    dataset = load_dataset(name, download=False)
    for split, count in (
        (dataset.train, BUNDLED[name].train_count),
        (dataset.test, BUNDLED[name].test_count),
    ):
        assert split.images.shape == (count, 1, 28, 28)
        assert split.images.dtype == torch.uint8
        assert split.labels is not None
        assert split.labels.bincount().tolist() == [count // 10] * 10
        assert split.take(10).labels.tolist() == list(range(10))  # type: ignore[union-attr]


@pytest.mark.parametrize("name", BUNDLED)
def test_classes_can_be_told_apart_by_their_mean_image(name: str) -> None:
    """Labels that do not belong to the images would leave a tenth right."""
    dataset = load_dataset(name, download=False)
    train, test = dataset.train.images.float(), dataset.test.images.float()
    assert dataset.train.labels is not None
    means = torch.stack([train[dataset.train.labels == label].mean(0) for label in range(10)])
    nearest = torch.cdist(test.flatten(1), means.flatten(1)).argmin(1)
    assert (nearest == dataset.test.labels).float().mean() > 0.65


def test_images_are_different_ones() -> None:
    dataset = load_dataset("mnist-mini", download=False)
    images = torch.cat([dataset.train.images, dataset.test.images])
    assert len({image.numpy().tobytes() for image in images}) == len(images)
