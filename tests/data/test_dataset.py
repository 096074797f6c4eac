import hashlib

import torch

from paecli.data import ImageSplit
from paecli.data.dataset import hash_images, make_dataset


def numbered(count: int) -> ImageSplit:
    """Image and label i hold the number i."""
    values = torch.arange(count)
    return ImageSplit(values.to(torch.uint8).view(-1, 1, 1, 1), values, ("a",))


def numbers(split: ImageSplit) -> list[int]:
    assert split.labels is not None
    assert split.images.flatten().tolist() == split.labels.tolist()
    return split.labels.tolist()


def test_take_and_select_keep_images_and_labels_together() -> None:
    split = numbered(10)
    assert numbers(split.take(3)) == [0, 1, 2]
    assert len(split.take(99)) == 10
    assert numbers(split.select(torch.tensor([7, 1]))) == [7, 1]
    assert numbers(split.select(torch.arange(10) > 7)) == [8, 9]
    assert split.select(torch.tensor([0])).classes == ("a",)


def test_splits_without_labels() -> None:
    split = ImageSplit(torch.zeros(4, 3, 5, 6, dtype=torch.uint8))
    assert split.take(2).labels is None
    assert split.select(torch.tensor([1])).labels is None
    assert split.image_shape == (3, 5, 6)


def test_hash_is_that_of_shapes_and_pixels() -> None:
    images = torch.arange(24, dtype=torch.uint8).view(2, 1, 3, 4)
    expected = hashlib.sha256(b"(2, 1, 3, 4)\n" + bytes(range(24))).hexdigest()
    assert hash_images(images) == expected
    assert hash_images(images.permute(1, 0, 2, 3).contiguous()) != expected
    strided = images.repeat(1, 2, 1, 1)[:, :1]
    assert hash_images(strided) == expected


def test_dataset_hash_covers_both_splits() -> None:
    first, second = numbered(3), numbered(4)
    hashes = {make_dataset("x", *pair, source="").content_hash
              for pair in ((first, second), (second, first), (first, first))}  # fmt: skip
    assert len(hashes) == 3
