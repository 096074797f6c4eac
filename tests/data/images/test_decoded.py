import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from paecli.data import memory
from paecli.data.images import decoded
from paecli.data.images.decoded import Recipe, decode_files
from paecli.system.errors import DataError
from paecli.system.progress import NullProgress, Task

GREY = Recipe(channels=1, size=(6, 4))
NAMES = [f"{number}.png" for number in range(8)]
Writer = Callable[..., list[Path]]


class Listening(NullProgress):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps = 0

    def say(self, message: str) -> None:
        self.said.append(message)

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Task]:
        yield self

    def advance(self, steps: int = 1, **shown: str) -> None:
        self.steps += steps


@pytest.fixture
def files(tmp_path: Path, write_images: Writer) -> list[Path]:
    return write_images(tmp_path / "images", NAMES)


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoded, "CACHE_FROM", 0)


def greys(files: list[Path]) -> list[int]:
    values = []
    for file in files:
        with Image.open(file) as image:
            values.append(image.getpixel((0, 0)))
    return values


def test_small_sets_are_decoded_and_leave_no_file(files: list[Path], empty_machine: Path) -> None:
    progress = Listening()
    images, kept = decode_files(files, GREY, progress)
    assert images[:, 0, 0, 0].tolist() == greys(files)
    assert kept.tolist() == list(range(8))
    assert progress.steps == 8
    assert not empty_machine.exists()


def test_bad_files_are_left_out_and_reported(files: list[Path]) -> None:
    files[2].write_bytes(b"rubbish")
    progress = Listening()
    images, kept = decode_files(files, GREY, progress)
    assert kept.tolist() == [0, 1, 3, 4, 5, 6, 7]
    assert images[:, 0, 0, 0].tolist() == greys([files[index] for index in kept])
    assert len(progress.said) == 1
    assert progress.said[0].startswith("1 of 8 images left out; the first: ")


def test_nothing_but_bad_files_is_an_error(files: list[Path]) -> None:
    for file in files:
        file.write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 8 images.*0\.png is empty"):
        decode_files(files, GREY, NullProgress())


@pytest.mark.usefixtures("cached")
def test_large_sets_are_decoded_once(files: list[Path], empty_machine: Path) -> None:
    files[1].write_bytes(b"rubbish")
    first, second = Listening(), Listening()
    images, kept = decode_files(files, GREY, first)
    again, kept_again = decode_files(files, GREY, second)
    assert (first.steps, second.steps) == (8, 0)
    assert torch.equal(images, again)
    assert kept.tolist() == kept_again.tolist() == [0, 2, 3, 4, 5, 6, 7]
    assert all(
        progress.said[0].startswith("1 of 8 images left out") for progress in (first, second)
    )
    assert len(list((empty_machine / "decoded").iterdir())) == 2


@pytest.mark.usefixtures("cached")
def test_a_mapped_tensor_can_be_changed_without_changing_the_cache(
    files: list[Path],
) -> None:
    images, _ = decode_files(files, GREY, NullProgress())
    images.zero_()
    assert decode_files(files, GREY, NullProgress())[0][:, 0, 0, 0].tolist() == greys(files)


@pytest.mark.usefixtures("cached")
def test_changed_files_and_recipes_are_decoded_anew(files: list[Path]) -> None:
    decode_files(files, GREY, NullProgress())
    Image.new("L", (4, 6), 77).save(files[0])
    os.utime(files[0], ns=(1, 1))
    assert decode_files(files, GREY, NullProgress())[0][0, 0, 0, 0] == 77
    inverted = Recipe(channels=1, size=(6, 4), invert=True)
    assert decode_files(files, inverted, NullProgress())[0][0, 0, 0, 0] == 255 - 77


def test_small_sets_of_large_files_are_decoded_once(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "CACHE_FILES_FROM", 0)
    first, second = Listening(), Listening()
    images, _ = decode_files(files, GREY, first)
    again, _ = decode_files(files, GREY, second)
    assert (first.steps, second.steps) == (8, 0)
    assert torch.equal(images, again)


def test_other_content_of_the_same_size_and_time_is_decoded_anew(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "CACHE_FILES_FROM", 0)
    decode_files(files, GREY, NullProgress())
    before = files[0].stat()
    content = files[0].with_suffix(".other")
    Image.new("L", (4, 6), 200).save(content, format="PNG")
    bytes_now = content.read_bytes()
    content.unlink()
    files[0].write_bytes(bytes_now.ljust(before.st_size, b"\0"))
    os.utime(files[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert decode_files(files, GREY, NullProgress())[0][0, 0, 0, 0] == 200


def test_small_sets_do_without_a_cache_that_cannot_be_written(
    files: list[Path], empty_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "CACHE_FILES_FROM", 0)
    empty_machine.parent.mkdir(parents=True, exist_ok=True)
    empty_machine.write_text("in the way")
    assert len(decode_files(files, GREY, NullProgress())[0]) == 8


@pytest.mark.usefixtures("cached")
def test_an_interrupted_decoding_leaves_nothing(
    files: list[Path], empty_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(file: Path, recipe: Recipe) -> np.ndarray:
        raise KeyboardInterrupt

    monkeypatch.setattr(decoded, "_decode_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        decode_files(files, GREY, NullProgress())
    assert list((empty_machine / "decoded").iterdir()) == []


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize("harm", ["rubbish", "cut", "gone", "of another shape"])
@pytest.mark.parametrize("ending", [".index.npy", ".npy"])
def test_what_is_damaged_in_the_cache_is_decoded_anew(
    files: list[Path], empty_machine: Path, harm: str, ending: str
) -> None:
    images = decode_files(files, GREY, NullProgress())[0].clone()  # of what is mapped
    (index,) = (empty_machine / "decoded").glob("*.index.npy")
    file = index if ending == ".index.npy" else index.with_name(index.name.replace(".index", ""))
    content = file.read_bytes()
    file.write_bytes(b"rubbish" if harm == "rubbish" else content[:-9])
    if harm == "gone":
        file.unlink()
    if harm == "of another shape":
        np.save(file, np.arange(99))
    mended, again = Listening(), Listening()
    assert torch.equal(decode_files(files, GREY, mended)[0], images)
    assert torch.equal(decode_files(files, GREY, again)[0], images)
    assert (mended.steps, again.steps) == (8, 0)


def test_a_file_that_vanishes_after_it_was_decoded_is_kept(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    film = files[0].with_suffix(".gif")
    Image.new("L", (4, 6), 9).save(film)
    read = decoded._decode_file

    def read_and_remove(file: Path, recipe: Recipe) -> np.ndarray:
        pixels = read(file, recipe)
        file.unlink()
        return pixels

    monkeypatch.setattr(decoded, "_decode_file", read_and_remove)
    assert len(decode_files([film, *files], GREY, NullProgress())[0]) == 9


@pytest.mark.usefixtures("cached")
def test_a_full_disk_is_noticed_before_writing(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = memory.shutil.disk_usage("/")._replace(free=10)
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(DataError, match="GB free"):
        decode_files(files, GREY, NullProgress())


def test_crop_cuts_the_centre_before_resizing(tmp_path: Path) -> None:
    image = Image.new("RGB", (178, 218))
    image.paste((255, 0, 0), (19, 39, 159, 179))  # the central 140 x 140
    image.save(tmp_path / "1.png")
    recipe = Recipe(channels=3, size=(64, 64), crop=140)
    images, _ = decode_files([tmp_path / "1.png"], recipe, NullProgress())
    assert images[0, 0].min() == 255
    assert images[0, 1:].max() == 0


def test_threads_give_the_same_in_the_same_order(
    tmp_path: Path, write_images: Writer, monkeypatch: pytest.MonkeyPatch, empty_machine: Path
) -> None:
    files = write_images(tmp_path / "many", [f"{number:03}.png" for number in range(150)])
    files[70].write_bytes(b"no image")
    files.insert(30, tmp_path / "gone.png")
    results = []
    filters = list(warnings.filters)
    for cores in (1, 4):
        monkeypatch.setattr(decoded, "available_cores", lambda cores=cores: cores)
        progress = Listening()
        images, kept = decode_files(files, GREY, progress)
        results.append((images, kept.tolist(), progress.said, progress.steps))
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1:] == results[1][1:]
    assert results[0][3] == 151
    assert len(results[0][1]) == 149
    assert list(warnings.filters) == filters


def test_an_error_in_a_thread_ends_the_reading(
    tmp_path: Path, write_images: Writer, monkeypatch: pytest.MonkeyPatch, empty_machine: Path
) -> None:
    monkeypatch.setattr(decoded, "available_cores", lambda: 4)
    files = write_images(tmp_path / "many", [f"{number:03}.png" for number in range(150)])
    Image.new("L", (5, 5)).save(files[90])
    with pytest.raises(DataError, match=r"090\.png has 5x5 pixels"):
        decode_files(files, Recipe(channels=1, size=(6, 4), same_size=True), NullProgress())
