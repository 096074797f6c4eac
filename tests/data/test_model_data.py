"""The images a model is used on: never those it was trained on, whatever became of its folder."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.listener import Listener

from paecli.data import ImageDataset, content_keys, hold_out, load_dataset, model_data
from paecli.data.model_data import load_for_model
from paecli.data.splitting import SplitRule
from paecli.model.origin import Origin
from paecli.system.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """200 different images of 4x4 pixels."""
    path = tmp_path / "photos"
    path.mkdir()
    random = np.random.default_rng(0)
    for number in range(200):
        pixels = random.integers(0, 256, (4, 4), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{number:03}.png")
    return path


def add(folder: Path, count: int = 1) -> None:
    random = np.random.default_rng(1)
    for number in range(count):
        pixels = random.integers(0, 256, (4, 4), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"a{number}.png")  # moves all the others' positions


def origin_of(folder: Path, *, by: SplitRule = "content", remembers: bool = True) -> Origin:
    data = load_dataset(str(folder), split_by=by)
    kept, _ = hold_out(data.train, fraction=1 / 12, seed=0, by=by, purpose="held out")
    keys = content_keys(kept.images).unique()
    return Origin(
        training_set=str(folder),
        content_hash=data.content_hash,
        image_shape=(1, 4, 4),
        split_by=by,
        training_keys=keys if remembers else keys[:0],
    )


def shares_images(data: ImageDataset, origin: Origin) -> bool:
    return bool(origin.knows(content_keys(data.test.images)).any())


@pytest.mark.parametrize("by", ["content", "position"])
def test_unchanged_images(folder: Path, by: SplitRule) -> None:
    told = Listener()
    loaded = load_for_model(origin := origin_of(folder, by=by), progress=told)
    assert loaded.dataset.content_hash == origin.content_hash
    assert loaded.trained_on is not None
    assert torch.equal(content_keys(loaded.trained_on).unique(), origin.training_keys)
    assert (loaded.seen, told.lines) == (0, [])
    assert not shares_images(loaded.dataset, origin)


@pytest.mark.parametrize("by", ["content", "position"])
@pytest.mark.parametrize("change", ["add", "remove", "rename", "copy"])
def test_a_changed_folder_is_said_and_nothing_trained_on_is_a_test_image(
    folder: Path, by: SplitRule, change: str
) -> None:
    origin = origin_of(folder, by=by)
    if change == "add":
        add(folder)
    elif change == "remove":
        (folder / "003.png").unlink()
    elif change == "rename":
        (folder / "003.png").rename(folder / "z.png")
    else:
        shutil.copy(folder / "003.png", folder / "a.png")
    told = Listener()
    loaded = load_for_model(origin, progress=told)
    assert "is not as it was when the model was trained" in told.lines[-1]
    assert not shares_images(loaded.dataset, origin)
    if by == "content":
        assert loaded.seen == 0


def test_a_removed_training_image_makes_copying_untellable(folder: Path) -> None:
    origin = origin_of(folder)
    for file in sorted(folder.iterdir())[:20]:
        file.unlink()
    assert load_for_model(origin).trained_on is None


def test_other_sets_are_searched_for_training_images(folder: Path, tmp_path: Path) -> None:
    origin = origin_of(folder)
    shutil.copytree(folder, tmp_path / "split" / "test")
    (tmp_path / "split" / "train").mkdir()
    shutil.copy(folder / "000.png", tmp_path / "split" / "train")
    told = Listener()
    loaded = load_for_model(origin, dataset=str(tmp_path / "split"), progress=told)
    assert loaded.seen == len(origin.training_keys)
    assert len(loaded.dataset.test) == 200 - loaded.seen
    assert "left out" in told.lines[-1]


def test_only_training_images_are_refused(folder: Path, tmp_path: Path) -> None:
    origin = origin_of(folder)
    data = load_dataset(str(folder))
    everything = replace(origin, training_keys=torch.cat(
        [content_keys(split.images) for split in (data.train, data.test)]))  # fmt: skip
    with pytest.raises(DataError, match=r"trained on all .* test images"):
        load_for_model(everything)


def test_a_model_of_version_0_1_has_test_images_only_of_the_same_folder(folder: Path) -> None:
    origin = origin_of(folder, by="position", remembers=False)
    known = origin_of(folder, by="position")
    loaded = load_for_model(origin)
    assert not shares_images(loaded.dataset, known)
    assert loaded.trained_on is not None
    assert torch.equal(content_keys(loaded.trained_on).unique(), known.training_keys)
    add(folder)
    with pytest.raises(DataError, match="does not say on which images"):
        load_for_model(origin)
    told = Listener()
    load_for_model(origin, dataset=str(folder), progress=told)
    assert "may be among them" in told.lines[-1]


@pytest.mark.parametrize("moved_to", ["elsewhere/photos", "renamed"])
def test_a_moved_folder_is_found(folder: Path, tmp_path: Path, moved_to: str) -> None:
    origin = origin_of(folder)
    target = tmp_path / moved_to
    target.parent.mkdir(exist_ok=True)
    folder.rename(target)
    with pytest.raises(DataError, match="--data-dir"):
        load_for_model(origin)
    data_dir = target.parent if target.name == "photos" else target
    told = Listener()
    loaded = load_for_model(origin, data_dir=data_dir, progress=told)
    assert loaded.dataset.content_hash == origin.content_hash
    assert told.lines == []


def test_the_folder_with_the_same_images_wins(folder: Path, tmp_path: Path) -> None:
    origin = origin_of(folder)
    shutil.copytree(folder, tmp_path / "backup")
    add(folder, 5)
    loaded = load_for_model(origin, data_dir=tmp_path / "backup")
    assert loaded.dataset.content_hash == origin.content_hash


def test_other_images_in_the_data_folder_are_not_taken_for_a_lost_folder(
    folder: Path, tmp_path: Path
) -> None:
    origin = origin_of(folder)
    folder.rename(tmp_path / "others")
    add(tmp_path / "others")
    with pytest.raises(DataError, match="is not there"):
        load_for_model(origin, data_dir=tmp_path / "others")


def test_all_data_sets_are_not_searched_for_a_folder_that_changed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, sets = origin_of(folder), tmp_path / "sets"
    shutil.copytree(folder, sets / "other")
    monkeypatch.setenv("PAE_DATA", str(sets))
    add(folder)
    read: list[str] = []
    load = model_data.load_dataset
    monkeypatch.setattr(
        model_data,
        "load_dataset",
        lambda name, **options: read.append(name) or load(name, **options),
    )
    assert load_for_model(origin, data_dir=sets).dataset.source == str(folder)
    assert read == [str(folder)]
    folder.rename(tmp_path / "gone")
    with pytest.raises(DataError, match="is not there"):
        load_for_model(origin, data_dir=sets)
