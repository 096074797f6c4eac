from pathlib import Path

import pytest

from paecli.data.split_folders import Parts, find_parts, likely_role, role_of
from paecli.system.errors import DataError

ROOT = Path("d")


def parts_of(*names: str) -> Parts:
    return find_parts(ROOT, sorted(ROOT / name for name in names))


def sizes(parts: Parts) -> tuple[int, int, int]:
    train, test, validation = parts.train, parts.test, parts.validation
    return (
        len(train.files),
        len(test.files if test else ()),
        len(validation.files if validation else ()),
    )


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("train", "train"), ("Train", "train"), ("TRAINING", "train"), ("training_set", "train"),
        ("test", "test"), ("Testing", "test"), ("test-images", "test"), ("val", "val"),
        ("Valid", "val"), ("validation", "val"), ("validation data", "val"), ("dev", "val"),
        ("cats", None), ("trains", None), ("good", None),
    ],
)  # fmt: skip
def test_names_of_splits(name: str, role: str | None) -> None:
    assert role_of(name) == role


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("train", "train"), ("trains", "train"), ("train2017", "train"), ("train_v1.2", "train"),
        ("images_train", "train"), ("img-test", "test"), ("2_test", "test"), ("TestImgs", "test"),
        ("trainval", "train"), ("eval", "test"), ("held_out", "test"), ("Hold-Out", "test"),
        ("Entraînement", "train"), ("entrenamiento", "train"), ("pruebas", "test"),
        ("Validierung", "val"), ("validação", "val"), ("train ", "train"), ("tests.old", None),
        ("cats", None), ("123", None), ("images", None),
    ],
)  # fmt: skip
def test_names_that_are_likely_those_of_splits(name: str, role: str | None) -> None:
    assert likely_role(name) == role


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train2017", "val2017"), ("images_train", "images_test"), ("trainval", "test"),
        ("train", "holdout"), ("trains", "tests"), ("entrenamiento", "prueba"),
    ],
)  # fmt: skip
def test_likely_names_count_where_there_are_two_roles(train: str, test: str) -> None:
    parts = parts_of(f"{train}/1", f"{train}/2", f"{test}/3")
    assert sizes(parts) == (2, 1, 0)
    assert sizes(parts_of(f"{train}/1", "cat/2", "dog/3")) == (3, 0, 0)


def test_numbered_classes_are_no_splits() -> None:
    assert sizes(parts_of("train1/1", "train2/2", "train3/3", "car/4")) == (4, 0, 0)
    assert sizes(parts_of("tests/1", "cat/2", "dog/3")) == (3, 0, 0)
    with pytest.raises(DataError, match="both train2014 and train2017"):
        parts_of("train2014/1", "train2017/2", "val2017/3")


def test_validation_images_are_neither_trained_on_nor_a_class() -> None:
    parts = parts_of("Train/cat/1", "Train/dog/2", "valid/cat/3", "Test/dog/4")
    assert sizes(parts) == (2, 1, 1)
    assert parts.notes == ()


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_without_test_images_the_validation_images_are_those(name: str) -> None:
    parts = parts_of("train/1", "train/2", f"{name}/3")
    assert sizes(parts) == (2, 1, 0)
    assert "serves as test images" in parts.notes[0]


def test_what_lies_beside_the_splits_is_not_used_and_said() -> None:
    parts = parts_of("train/1", "test/2", "extra/3", "4")
    assert sizes(parts) == (1, 1, 0)
    assert parts.notes[0].startswith("2 images of d are not used")


def test_without_a_folder_to_train_on_all_else_is_trained_on() -> None:
    parts = parts_of("cat/1", "dog/2", "val/3")
    assert sizes(parts) == (2, 1, 0)
    assert parts.train.root == ROOT
    with pytest.raises(DataError, match="none to train on"):
        parts_of("val/1", "test/2")


def test_train_alone_is_the_root_but_beside_others_a_class() -> None:
    assert parts_of("train/cat/1", "train/dog/2").train.root == ROOT / "train"
    vehicles = parts_of("train/1", "car/2", "ship/3")
    assert sizes(vehicles) == (3, 0, 0)
    assert vehicles.train.root == ROOT
    assert vehicles.notes == ("d: train is a class as no folder is for testing",)


def test_splits_in_a_lone_folder_are_found() -> None:
    parts = parts_of("images/train/1", "images/val/2")
    assert sizes(parts) == (1, 1, 0)
    assert parts_of("cat/1", "cat/2").train.root == ROOT  # a single class


def test_splits_inside_classes_are_doubted() -> None:
    parts = parts_of("cat/train/1", "cat/test/2", "dog/train/3")
    assert sizes(parts) == (3, 0, 0)
    assert "not taken for splits" in parts.notes[0]


def test_two_folders_for_one_split_are_refused() -> None:
    with pytest.raises(DataError, match="both Train and train"):
        parts_of("Train/1", "train/2", "test/3")
