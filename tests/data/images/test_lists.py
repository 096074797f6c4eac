"""Lists of image files, with odd rows."""

import os
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.listener import Listener

from paecli.data import load_dataset
from paecli.data.images.lists import is_list, missing_files, parts_of_list, read_list
from paecli.data.images.photographs import list_photographs
from paecli.system.errors import DataError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve grey images in `photos`, beside which lists are written."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(12):
        Image.new("L", (8, 8), 20 * index).save(folder / f"{index}.png")
    return folder


def write(photos: Path, text: str | bytes, name: str = "files.csv") -> Path:
    path = photos.parent / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def names(path: Path) -> list[tuple[str, str, str | None]]:
    return [(row.file.name, row.label, row.role) for row in read_list(path)]


TWO = [("1.png", "", None), ("2.png", "", None)]
LABELLED = [("1.png", "cat", None), ("2.png", "dog", None)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("photos/1.png\nphotos/2.png\n", TWO),
        ("path\nphotos/1.png\nphotos/2.png", TWO),
        ("\ufeffPath\r\nphotos/1.png\r\n\r\nphotos/2.png\r\n", TWO),
        ("photos/1.png,cat\nphotos/2.png,dog\n", LABELLED),
        ("label,file\ncat,photos/1.png\ndog,photos/2.png\n", LABELLED),
        ("id;Class;Image_Path\n7;cat;photos/1.png\n8;dog;photos/2.png\n", LABELLED),
        ("filename\tlabel\nphotos/1.png\tcat\nphotos/2.png\tdog\n", LABELLED),
        ("what,else\nphotos/1.png,cat\nphotos/2.png,dog\n", LABELLED),
        (' photos/1.png , cat \n"photos/2.png","dog"\n', LABELLED),
        ("photos/1.png,1,x\nphotos/2.png,2,y\n", TWO),  # three columns without names
        ("photos/1.png\n./photos/../photos/1.png\nphotos/2.png\n", TWO),
        (
            "path,label,split\nphotos/1.png,cat,train\nphotos/2.png,,TEST\nphotos/3.png,a,valid\n",
            [("1.png", "cat", "train"), ("2.png", "", "test"), ("3.png", "a", "val")],
        ),
        ("path,label\nphotos/1.png,cat,more,than,named\nphotos/2.png\n",
         [("1.png", "cat", None), ("2.png", "", None)]),
    ],
)  # fmt: skip
def test_columns_are_found(
    photos: Path, text: str, expected: list[tuple[str, str, str | None]]
) -> None:
    assert names(write(photos, text)) == expected


def test_names_are_bytes_and_may_hold_anything(photos: Path) -> None:
    odd = [os.fsdecode(b"caf\xe9.png"), "a,b.png", 'say "x".png', "line\nbreak.png", "#1.png"]
    for name in odd:
        (photos / name).hardlink_to(photos / "1.png")
    quoted = "".join('"photos/{}"\n'.format(name.replace('"', '""')) for name in odd)
    path = write(photos, os.fsencode("path\n" + quoted))
    assert [row.file.name for row in read_list(path)] == odd
    assert missing_files(read_list(path)) == []


def test_absolute_paths_and_other_working_directories(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(photos, f"{photos / '3.png'}\nphotos/4.png\n")
    monkeypatch.chdir("/")
    assert all(row.file.is_file() for row in read_list(path))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "lists no images"),
        ("path,label\n", "lists no images"),
        ("path,label\nphotos/1.png,a\n,b\n", "row 3 of .* has no path"),
        ("photos/1.png,a\nphotos/1.png,b\n", "twice, in rows 1 and 2, with different labels"),
        ("path,split\nphotos/1.png,tomorrow\n", "row 2 of .* has the split 'tomorrow'"),
        ("label,split\na,train\n", "no column of paths"),
        ("path,split\nphotos/1.png,test\n", "no rows of the split `train`"),
        ('photos/1.png\n"photos/2.png\n', "cannot read the list"),
        (b"photos/1\0.png\n", "has no path|cannot read"),
        ("x" * 200_000 + "\n", "cannot read the list"),
    ],
)
def test_odd_lists_are_refused_by_row(photos: Path, text: str | bytes, problem: str) -> None:
    path = write(photos, text)
    with pytest.raises(DataError, match=problem):
        parts_of_list(path)


def test_missing_files_and_folders_are_named_and_left_out(photos: Path) -> None:
    rows = [f"photos/{index}.png" for index in range(12)]
    path = write(photos, "\n".join([*rows[:6], "photos/gone.png", "photos", *rows[6:]]))
    reasons = [reason for _, reason in missing_files(read_list(path))]
    assert reasons[0].endswith("photos/gone.png does not exist")
    assert reasons[0].startswith("row 7: ")
    assert "is a folder" in reasons[1]
    said = Listener()
    data = load_dataset(str(path), progress=said)
    assert len(data.train) + len(data.test) == 12
    assert any("2 of 14 files of" in line and "row 7" in line for line in said.lines)
    assert any(line.startswith("2 of 14 images left out") for line in said.lines)


def test_a_list_is_a_data_set_with_labels_and_splits(photos: Path) -> None:
    split = ["train"] * 8 + ["test"] * 3 + ["val"]
    label = ["cat", "dog", ""] * 4
    rows = [f"photos/{i}.png,{label[i]},{split[i]}" for i in range(12)]
    data = load_dataset(str(write(photos, "path,label,split\n" + "\n".join(rows))))
    assert (len(data.train), len(data.test)) == (8, 3)
    assert data.validation is not None
    assert data.train.classes == ("cat", "dog", "no label")
    assert data.train.labels is not None
    assert data.train.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert data.test.images[:, 0, 0, 0].tolist() == [160, 180, 200]
    assert data.name == "files.csv"


def test_all_rows_can_be_test_images(photos: Path) -> None:
    path = write(photos, "\n".join(f"photos/{index}.png" for index in range(12)))
    whole = load_dataset(str(path), whole=True)
    assert len(whole.test) == 12
    drawn = load_dataset(str(path))
    assert len(drawn.train) + len(drawn.test) == 12
    folder = load_dataset(str(photos))
    assert torch.equal(
        drawn.test.images.flatten().sort().values, folder.test.images.flatten().sort().values
    )


def test_patches_take_lists(photos: Path) -> None:
    listed = list_photographs(write(photos, "photos/1.png\nphotos/2.png\n", "tiles.tsv"))
    assert [file.name for file in listed.files] == ["1.png", "2.png"]


def test_only_files_called_so_are_lists(photos: Path) -> None:
    assert is_list(write(photos, "", "a.CSV"))
    assert not is_list(photos / "1.png")
    assert not is_list(photos)
