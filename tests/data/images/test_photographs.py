from itertools import pairwise
from pathlib import Path

import pytest
from tests.patches_models import surface, write_surfaces

from paecli.data.images.photographs import list_photographs, read_photograph
from paecli.system.errors import DataError


@pytest.mark.parametrize(("count", "held_out"), [(2, 1), (3, 1), (10, 2), (57, 11), (250, 50)])
def test_a_fifth_is_held_out_and_the_rest_kept(tmp_path: Path, count: int, held_out: int) -> None:
    files = empty_files(tmp_path, count)
    photographs = list_photographs(tmp_path, held_out=0.2, seed=0)
    assert len(photographs.held_out) == held_out
    assert sorted((*photographs.kept, *photographs.held_out)) == files


def test_neighbours_are_held_out_together(tmp_path: Path) -> None:
    files = empty_files(tmp_path, 250)
    held_out = list_photographs(tmp_path, held_out=0.2, seed=0).held_out
    aside = [file in held_out for file in files]
    changes = sum(a != b for a, b in pairwise(aside))
    assert changes <= 10  # five blocks; single images would change some 80 times


def test_only_the_training_folder_is_read(tmp_path: Path) -> None:
    write_surfaces(tmp_path / "train" / "good", range(5))
    write_surfaces(tmp_path / "test" / "hole", range(3))
    photographs = list_photographs(tmp_path, held_out=0.2, seed=0)
    assert all("train" in file.parts for file in (*photographs.kept, *photographs.held_out))


def test_validation_images_are_held_out(tmp_path: Path) -> None:
    for role, numbers in (("train", range(5)), ("val", range(5, 8)), ("test", range(8, 9))):
        write_surfaces(tmp_path / role / "good", numbers)
    photographs = list_photographs(tmp_path, held_out=0.2, seed=0)
    assert (len(photographs.kept), len(photographs.held_out)) == (5, 3)
    assert all("val" in file.parts for file in photographs.held_out)


def test_the_hash_is_that_of_the_files(tmp_path: Path) -> None:
    write_surfaces(tmp_path / "a", range(4))
    before = list_photographs(tmp_path / "a", held_out=0.2, seed=0).content_hash
    assert before == list_photographs(tmp_path / "a", held_out=0.5, seed=1).content_hash
    (tmp_path / "a" / "000.png").write_bytes((tmp_path / "a" / "001.png").read_bytes())
    assert before != list_photographs(tmp_path / "a", held_out=0.2, seed=0).content_hash


def test_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        list_photographs(tmp_path / "nothing", held_out=0.2, seed=0)


def test_images_keep_their_size(tmp_path: Path) -> None:
    write_surfaces(tmp_path / "a", range(1))
    assert (read_photograph(tmp_path / "a" / "000.png") * 255).round().byte().equal(surface(0))


def empty_files(folder: Path, count: int) -> list[Path]:
    files = [folder / f"{number:03}.png" for number in range(count)]
    for file in files:
        file.write_bytes(b"not looked at")
    return files
