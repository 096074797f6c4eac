import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from paecli.data import find_images, write_image
from paecli.data.images.listing import find_all, image_endings, list_images
from paecli.system.errors import DataError
from paecli.system.progress import NullProgress

Writer = Callable[..., list[Path]]


def names(folder: Path, **options: Path) -> list[str]:
    found = list_images(folder, **options).images
    return [path.relative_to(folder).as_posix() for path in found]


def test_linked_files_and_folders_are_looked_into(tmp_path: Path, write_images: Writer) -> None:
    write_images(tmp_path / "elsewhere" / "cats", ["1.png"])
    write_images(tmp_path / "elsewhere", ["x.png"])
    write_images(tmp_path / "in", ["a.png"])
    (tmp_path / "in" / "cats").symlink_to(tmp_path / "elsewhere" / "cats")
    (tmp_path / "in" / "b.png").symlink_to(tmp_path / "elsewhere" / "x.png")
    assert names(tmp_path / "in") == ["a.png", "b.png", "cats/1.png"]


def test_loops_end_and_each_file_counts_once(tmp_path: Path, write_images: Writer) -> None:
    write_images(tmp_path / "b", ["1.png", "2.png"])
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "0.png").symlink_to(tmp_path / "b" / "1.png")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    listing = list_images(tmp_path)
    assert names(tmp_path) == ["b/1.png", "b/2.png"]
    assert "3 links to what is here already" in listing.summary()
    assert [path.name for path, _ in listing.unreadable] == ["self"]


def test_a_file_behind_several_links_counts_once(tmp_path: Path, write_images: Writer) -> None:
    write_images(tmp_path / "elsewhere", ["x.png"])
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).symlink_to(tmp_path / "elsewhere" / "x.png")
    assert names(tmp_path / "in") == ["a.png"]
    assert "1 link to what is here already" in list_images(tmp_path / "in").summary()


def test_dangling_links_are_named(tmp_path: Path, write_images: Writer) -> None:
    write_images(tmp_path, ["a.png"])
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    images, unreadable = find_all([tmp_path])
    assert [path.name for path in images] == ["a.png"]
    assert unreadable[0][0].name == "gone.png"
    assert "nowhere.png, which is not there" in unreadable[0][1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root opens every folder")
def test_closed_folders_are_named(tmp_path: Path, write_images: Writer) -> None:
    write_images(tmp_path, ["a.png"])
    (tmp_path / "closed").mkdir(mode=0)
    assert "cannot be opened" in list_images(tmp_path).unreadable[0][1]


@pytest.mark.parametrize(
    "ending", [".avif", ".jfif", ".jpe", ".jp2", ".j2k", ".tga", ".qoi", ".PNG", ".apng", ".dib"]
)
def test_endings_of_all_formats_that_pillow_decodes(tmp_path: Path, ending: str) -> None:
    assert ending.lower() in image_endings()
    Image.new("RGB", (4, 4)).save(tmp_path / f"a{ending}")
    assert names(tmp_path) == [f"a{ending}"]


@pytest.mark.parametrize("ending", [".eps", ".ps", ".mpg", ".h5", ".pdf", ".grib"])
def test_documents_and_films_are_no_images(ending: str) -> None:
    assert ending not in image_endings()


@pytest.mark.parametrize("name", ["photo", "photo.JPG_large", "photo.dat"])
def test_content_decides_where_the_ending_says_nothing(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / name, format="JPEG")
    assert names(tmp_path) == [name]


def test_what_is_passed_over_is_counted(tmp_path: Path, write_images: Writer) -> None:
    write_images(tmp_path, ["a.png", ".hidden.png"])
    for name in ("notes.txt", "more.txt", "data.csv", "README"):
        (tmp_path / name).write_text("no image")
    Image.new("L", (4, 4)).save(tmp_path / "raw.dng", format="TIFF")
    os.mkfifo(tmp_path / "pipe.png")
    summary = list_images(tmp_path).summary()
    assert "1 hidden" in summary
    assert "1 neither file nor folder" in summary
    assert "5 no images (.txt" in summary


def test_own_pictures_are_left_out_unless_there_is_nothing_else(tmp_path: Path) -> None:
    write_image(tmp_path / "restored" / "a" / "map.png", torch.zeros(1, 4, 4), own=True)
    assert names(tmp_path) == ["restored/a/map.png"]
    write_image(tmp_path / "a.png", torch.zeros(1, 4, 4))
    assert names(tmp_path) == ["a.png"]
    assert "1 picture that pae wrote" in list_images(tmp_path).summary()
    assert find_images([tmp_path / "restored" / "a" / "map.png"])  # named by the user


def test_run_folders_and_the_output_folder_are_left_out(
    tmp_path: Path, write_images: Writer
) -> None:
    write_images(tmp_path, ["a.png"])
    write_images(tmp_path / "run", ["old-loss.png"])
    write_images(tmp_path / "out", ["old-map.png"])
    (tmp_path / "run" / "config.yaml").touch()
    (tmp_path / "run" / "autoencoder.safetensors").touch()
    assert names(tmp_path, leave_out=tmp_path / "out") == ["a.png"]
    summary = list_images(tmp_path, leave_out=tmp_path / "out").summary()
    assert f"the output folder {tmp_path / 'run'}" in summary
    assert f"the output folder {tmp_path / 'out'}" in summary
    assert names(tmp_path / "run") == ["old-loss.png"]  # named by the user


def test_an_empty_folder_among_others_is_named(tmp_path: Path, write_images: Writer) -> None:
    said: list[str] = []

    class Listening(NullProgress):
        def say(self, message: str) -> None:
            said.append(message)

    write_images(tmp_path / "full", ["a.png"])
    (tmp_path / "empty").mkdir()
    paths = [tmp_path / "empty", tmp_path / "full"]
    assert [file.name for file in find_images(paths, progress=Listening())] == ["a.png"]
    assert said == [f"Warning: no images in {tmp_path / 'empty'}"]


def test_nothing_found_says_why(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"no images in .*1 no images \(\.txt\)"):
        find_images([tmp_path])
