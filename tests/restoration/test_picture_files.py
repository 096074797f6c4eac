from pathlib import Path

from paecli.restoration.picture_files import folders_for, picture_files, picture_names


def test_pictures_by_their_keys() -> None:
    files = picture_files(Path("out"), intervals=False)
    assert list(files) == ["map_file", "mean_file", "std_file", "samples_file", "overview_file"]
    assert files["map_file"] == Path("out/map.png")
    both = picture_files(Path("out"), intervals=True)
    assert list(both)[5:] == ["lower_file", "upper_file"]
    assert picture_names() == [path.name for path in both.values()]


def test_an_image_that_was_named_has_the_folder_for_itself(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    assert folders_for([image], image, Path("out")) == {image: Path("out")}


def test_images_of_a_folder_have_a_folder_each(tmp_path: Path) -> None:
    names = ["a.png", "b.png", "b.jpg", "sub/a.png"]
    paths = [tmp_path / name for name in names]
    folders = folders_for(paths, tmp_path, Path("out"))
    assert [folders[path].as_posix() for path in paths] == [
        "out/a", "out/b.png", "out/b.jpg", "out/sub/a"
    ]  # fmt: skip
