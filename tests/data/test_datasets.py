from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from paecli.data import load_dataset
from paecli.system.errors import DataError

Writer = Callable[..., Path]


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"'nist' is neither .* fmnist, mnist, .*fmnist-mini"):
        load_dataset("nist")


def test_the_hash_follows_the_pixels(tmp_path: Path, write_idx_set: Writer) -> None:
    hashes = []
    for number, fill in enumerate([0, 0, 1]):
        write_idx_set(tmp_path / str(number), fill=fill)
        dataset = load_dataset("kmnist", data_dir=tmp_path / str(number), download=False)
        hashes.append(dataset.content_hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_folder_of_the_data_may_be_a_string(tmp_path: Path, write_idx_set: Writer) -> None:
    write_idx_set(tmp_path, fill=1)
    by_path, by_string = (
        load_dataset("kmnist", data_dir=folder, download=False)
        for folder in (tmp_path, str(tmp_path))
    )
    assert by_path.content_hash == by_string.content_hash


def test_named_sets_come_in_other_sizes_and_channels() -> None:
    original = load_dataset("mnist-mini")
    dataset = load_dataset("mnist-mini", image_size=14, channels=3)
    assert dataset.train.images.shape == (3000, 3, 14, 14)
    assert dataset.train.images.dtype == torch.uint8
    assert torch.equal(dataset.test.images[:, 0], dataset.test.images[:, 2])
    assert dataset.content_hash != original.content_hash
    means = [split.images.float().mean() for split in (dataset.test, original.test)]
    torch.testing.assert_close(*means, atol=0.5, rtol=0)


def test_asking_for_what_it_is_changes_nothing() -> None:
    plain, asked = load_dataset("mnist-mini"), load_dataset("mnist-mini", image_size=28, channels=1)
    assert plain.content_hash == asked.content_hash


def test_a_folder_by_its_path(tmp_path: Path, write_images: Callable[..., list[Path]]) -> None:
    write_images(tmp_path / "mine", [f"{number}.png" for number in range(10)])
    dataset = load_dataset(str(tmp_path / "mine"))
    assert (dataset.name, len(dataset.train), len(dataset.test)) == ("mine", 9, 1)
