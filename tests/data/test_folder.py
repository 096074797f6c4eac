import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from paecli.data import content_keys, load_dataset
from paecli.system.errors import DataError, ImageError

Writer = Callable[..., list[Path]]
NAMES = [f"{number:02}.png" for number in range(20)]


def test_train_and_test_folders_with_classes(tmp_path: Path, write_images: Writer) -> None:
    for part, classes in {"train": ("cat", "dog"), "test": ("dog", "owl")}.items():
        for name in classes:
            write_images(tmp_path / part / name, NAMES[:3])
    dataset = load_dataset(str(tmp_path))
    assert dataset.train.classes == dataset.test.classes == ("cat", "dog", "owl")
    assert dataset.train.labels is not None
    assert dataset.test.labels is not None
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.test.labels.tolist() == [1, 1, 1, 2, 2, 2]
    assert dataset.train.images.shape == (6, 1, 6, 4)


@pytest.mark.parametrize(
    ("train", "test", "val"),
    [("train", "test", "val"), ("Train", "Test", "valid"), ("training", "testing", "validation")],
)
def test_validation_images_are_set_apart(
    tmp_path: Path, write_images: Writer, train: str, test: str, val: str
) -> None:
    for part, count in ((train, 5), (test, 3), (val, 2)):
        write_images(tmp_path / part / "cat", NAMES[:count])
    dataset = load_dataset(str(tmp_path))
    assert dataset.validation is not None
    lengths = len(dataset.train), len(dataset.test), len(dataset.validation)
    assert lengths == (5, 3, 2)
    assert dataset.train.classes == ("cat",)


def test_without_them_the_seed_chooses_the_test_images(
    tmp_path: Path, write_images: Writer
) -> None:
    write_images(tmp_path, NAMES)
    loaded = [load_dataset(str(tmp_path), split_seed=seed) for seed in (0, 0, 1)]
    assert {len(dataset.train) + len(dataset.test) for dataset in loaded} == {20}
    assert loaded[0].content_hash == loaded[1].content_hash != loaded[2].content_hash
    assert loaded[0].train.labels is None


def test_pixels_of_each_file_arrive(tmp_path: Path) -> None:
    for number in range(20):
        Image.new("L", (2, 2), 10 * number).save(tmp_path / f"{number}.png")
    dataset = load_dataset(str(tmp_path))
    values = torch.cat([dataset.train.images, dataset.test.images])[:, 0, 0, 0]
    assert sorted(values.tolist()) == [10 * number for number in range(20)]


def test_sizes_that_differ_ask_for_image_size(tmp_path: Path, write_images: Writer) -> None:
    write_images(tmp_path, ["a.png"])
    write_images(tmp_path, ["b.png"], size=(5, 9))
    with pytest.raises(
        DataError, match=r"b\.png has 9x5 pixels, the first image 4x6.*--image-size"
    ):
        load_dataset(str(tmp_path))
    assert load_dataset(str(tmp_path), image_size=8).train.image_shape == (1, 8, 8)


def test_large_images_ask_for_image_size(tmp_path: Path, write_images: Writer) -> None:
    write_images(tmp_path, ["a.png", "b.png"], size=(3, 1500))
    with pytest.raises(DataError, match=r"1500x3 pixels.*--image-size"):
        load_dataset(str(tmp_path))


def test_channels_follow_the_first_image_unless_given(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), "red").save(tmp_path / "a.png")
    Image.new("L", (4, 4)).save(tmp_path / "b.png")
    assert load_dataset(str(tmp_path)).train.image_shape == (3, 4, 4)
    assert load_dataset(str(tmp_path), channels=1).train.image_shape == (1, 4, 4)


def test_colour_is_not_lost_silently(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 4), "red").save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"b\.png is in colour.*--channels"):
        load_dataset(str(tmp_path))


def test_empty_folders_and_too_few_images(tmp_path: Path, write_images: Writer) -> None:
    with pytest.raises(DataError, match="no images in"):
        load_dataset(str(tmp_path))
    write_images(tmp_path, ["a.png"])
    with pytest.raises(DataError, match="at least 2"):
        load_dataset(str(tmp_path))


def test_renamed_and_added_images_leave_the_others_on_their_side(
    tmp_path: Path, write_images: Writer
) -> None:
    files = write_images(tmp_path, NAMES)
    before = content_keys(load_dataset(str(tmp_path)).train.images)
    files[0].rename(tmp_path / "zz.png")
    Image.new("L", (4, 6), 77).save(tmp_path / "a new one.png")
    after = content_keys(load_dataset(str(tmp_path)).test.images)
    assert not torch.isin(after, before).any()


def test_names_that_are_not_utf_8_become_classes_that_can_be_written(tmp_path: Path) -> None:
    for number, name in enumerate((b"caf\xe9", b"plain")):
        folder = tmp_path / os.fsdecode(name)
        folder.mkdir()
        for step in range(3):
            Image.new("L", (4, 4), 60 * number + step).save(folder / f"{step}.png")
    dataset = load_dataset(str(tmp_path))
    assert dataset.train.classes == ("caf\\xe9", "plain")
    assert dataset.train.labels is not None


def test_a_broken_first_image_is_left_out_like_any_other(
    tmp_path: Path, write_images: Writer
) -> None:
    write_images(tmp_path, NAMES)
    (tmp_path / NAMES[0]).write_bytes(b"")
    dataset = load_dataset(str(tmp_path))
    assert len(dataset.train) + len(dataset.test) == len(NAMES) - 1


def test_where_no_file_is_an_image_the_first_is_named(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "c.png"):
        (tmp_path / name).write_text("words")
    with pytest.raises(ImageError, match=r"a\.png is not an image"):
        load_dataset(str(tmp_path))
