"""Where a folder is looked for that a model was trained on, and which one is taken."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from paecli.data.moved_folders import load_moved
from paecli.data.sets.locations import DATA_VARIABLE
from paecli.system.errors import DataError


@dataclass(frozen=True)
class Images:
    place: str
    content_hash: str


class Folders:
    """Folders with images, and what is in them."""

    def __init__(self, root: Path) -> None:
        self.root, self.held, self.asked = root, dict[Path, str](), list[str]()

    def hold(self, name: str, content: str) -> Path:
        place = self.root / name
        place.mkdir(parents=True)
        (place / "a.png").touch()
        self.held[place] = content
        return place

    def load(self, folder: str) -> Images:
        self.asked.append(Path(folder).relative_to(self.root).as_posix())
        if self.held[Path(folder)] == "broken":
            raise DataError(f"{folder} cannot be read")
        return Images(folder, self.held[Path(folder)])

    def found(self, before: str, data_dir: str | None) -> str:
        data = None if data_dir is None else self.root / data_dir
        images = load_moved(str(self.root / before), data, content_hash="own", load=self.load)
        return Path(images.place).relative_to(self.root).as_posix()


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return Folders(tmp_path)


def test_it_is_where_it_was(folders: Folders) -> None:
    folders.hold("old/photos", "own")
    assert folders.found("old/photos", None) == "old/photos"
    assert folders.asked == ["old/photos"]


def test_the_folder_that_the_user_names_comes_first(folders: Folders) -> None:
    for name in ("new/photos", "old/photos"):
        folders.hold(name, "own")
    assert folders.found("old/photos", "new") == "new/photos"
    assert folders.asked == ["new/photos"]


def test_the_same_images_win_over_the_same_name(folders: Folders) -> None:
    folders.hold("new/photos", "others")
    folders.hold("old/photos", "own")
    assert folders.found("old/photos", "new") == "old/photos"
    assert folders.asked == ["new/photos", "old/photos"]


@pytest.mark.parametrize("from_variable", [False, True])
def test_the_named_folder_itself_may_hold_them(
    folders: Folders, from_variable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders.hold("new", "own")
    if not from_variable:
        assert folders.found("old/photos", "new") == "new"
        return
    monkeypatch.setenv(DATA_VARIABLE, str(folders.root / "new"))
    with pytest.raises(DataError, match="is not there; tell with --data-dir where it is now"):
        folders.found("old/photos", "new")
    assert folders.asked == []  # all data sets would be read


def test_without_the_same_images_the_first_of_its_name_is_taken(folders: Folders) -> None:
    folders.hold("new", "others")  # has another name
    folders.hold("new/photos", "changed")
    folders.hold("old/photos", "broken")
    assert folders.found("old/photos", "new") == "new/photos"
    assert folders.asked == ["new/photos", "old/photos", "new"]


def test_what_is_wrong_with_the_first_is_said(folders: Folders) -> None:
    folders.hold("new", "others")
    folders.hold("new/photos", "broken")
    folders.hold("old/photos", "broken")
    with pytest.raises(DataError, match="new/photos cannot be read"):
        folders.found("old/photos", "new")


def test_folders_of_other_names_are_no_answer(folders: Folders) -> None:
    folders.hold("new", "others")
    with pytest.raises(DataError, match=r"the folder .*old/photos, on which the model was trained"):
        folders.found("old/photos", "new")
