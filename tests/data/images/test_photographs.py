from pathlib import Path

import pytest
from tests.patches_models import surface, write_surfaces

from paecli.data.images.photographs import list_photographs, neighbouring_folds, read_photograph
from paecli.system.errors import DataError


@pytest.mark.parametrize(("count", "folds"), [(2, 5), (3, 5), (10, 5), (57, 5), (250, 4)])
def test_folds_are_neighbours_and_hold_every_file_once(count: int, folds: int) -> None:
    parts = neighbouring_folds(count, folds)
    assert [index for part in parts for index in part] == list(range(count))
    sizes = [len(part) for part in parts]
    assert len(sizes) == min(count, folds)
    assert max(sizes) - min(sizes) <= 1


def test_only_the_training_folder_is_read(tmp_path: Path) -> None:
    write_surfaces(tmp_path / "train" / "good", range(5))
    write_surfaces(tmp_path / "test" / "hole", range(3))
    photographs = list_photographs(tmp_path)
    assert all("train" in file.parts for file in photographs.files)


def test_validation_images_are_held_out(tmp_path: Path) -> None:
    for role, numbers in (("train", range(5)), ("val", range(5, 8)), ("test", range(8, 9))):
        write_surfaces(tmp_path / role / "good", numbers)
    photographs = list_photographs(tmp_path)
    assert (len(photographs.files), len(photographs.held_out)) == (5, 3)
    assert all("val" in file.parts for file in photographs.held_out)


def test_the_hash_is_that_of_the_files(tmp_path: Path) -> None:
    write_surfaces(tmp_path / "a", range(4))
    before = list_photographs(tmp_path / "a").content_hash
    assert before == list_photographs(tmp_path / "a", limit=2).content_hash
    (tmp_path / "a" / "000.png").write_bytes((tmp_path / "a" / "001.png").read_bytes())
    assert before != list_photographs(tmp_path / "a").content_hash


def test_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        list_photographs(tmp_path / "nothing")


def test_images_keep_their_size(tmp_path: Path) -> None:
    write_surfaces(tmp_path / "a", range(1))
    assert (read_photograph(tmp_path / "a" / "000.png") * 255).round().byte().equal(surface(0))
