from collections.abc import Callable
from pathlib import Path

import pytest

from paecli.data import load_dataset
from paecli.data.sets.locations import DATA_VARIABLE, find_location, search_folders
from paecli.data.sets.named_sets import NAMED_SETS
from paecli.system.errors import DataError

Writer = Callable[..., Path]


@pytest.mark.parametrize("folder", ["FashionMNIST/raw", "fashion-mnist", "fmnist", "."])
@pytest.mark.parametrize("zipped", [True, False])
def test_knows_the_usual_layouts(
    tmp_path: Path, write_idx_set: Writer, folder: str, zipped: bool
) -> None:
    write_idx_set(tmp_path / folder, zipped=zipped)
    dataset = load_dataset("fmnist", data_dir=tmp_path, download=False)
    assert dataset.train.images.shape == (20, 1, 4, 5)
    assert dataset.test.labels is not None
    assert dataset.test.labels.tolist() == list(range(10))
    assert dataset.train.images[1, 0, 0, 0] == 20
    assert Path(dataset.source) == tmp_path / folder


def test_order_is_argument_variable_cache_system(
    tmp_path: Path, write_idx_set: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "variable"))
    order = search_folders(tmp_path / "argument")
    assert order[:2] == [tmp_path / "argument", tmp_path / "variable"]
    for root in reversed(order):  # a better place each time
        written = write_idx_set(root / "mnist")
        assert find_location(NAMED_SETS["mnist"], tmp_path / "argument") == written


def test_an_incomplete_folder_does_not_count(tmp_path: Path, write_idx_set: Writer) -> None:
    write_idx_set(tmp_path / "mnist")
    (tmp_path / "mnist" / "train-labels-idx1-ubyte.gz").unlink()
    assert find_location(NAMED_SETS["mnist"], tmp_path) is None


def test_bare_files_count_only_in_a_chosen_folder(
    empty_machine: Path, write_idx_set: Writer
) -> None:
    write_idx_set(empty_machine)
    assert find_location(NAMED_SETS["mnist"], None) is None
    assert find_location(NAMED_SETS["mnist"], empty_machine) == empty_machine


def test_without_data_says_where_it_looked_and_what_to_do(
    tmp_path: Path, empty_machine: Path
) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset("fmnist", data_dir=tmp_path, download=False)
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(tmp_path), str(empty_machine), "system", "pae download fmnist", "--data-dir",
                 "train-images-idx3-ubyte", "fmnist-mini"):  # fmt: skip
        assert part in message
