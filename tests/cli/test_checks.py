"""What is looked at before torch is imported: each check lets the right through, not the wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from paecli.cli import checks
from paecli.data import write_image
from paecli.store.checkpoint import read_header
from paecli.system.errors import CheckpointError, DataError, ImageError, PaeError, UsageError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("a.png", "masks/a.png", "one/only.png", "two/a.png", "two/b.png"):
        write_image(tmp_path / name, torch.rand(1, 28, 30))
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.png").write_text("words")
    (tmp_path / "kept.npz").write_bytes(b"any")
    (tmp_path / "noise.npy").write_bytes(b"any")
    (tmp_path / "list.csv").write_text("path\na.png\ngone.png\n")
    (tmp_path / "lost.csv").write_text("path\ngone.png\nlost.png\n")
    (tmp_path / "list.doc").write_text("path\na.png\n")
    return tmp_path


RIGHT: dict[str, Callable[[Path], object]] = {
    "an image": lambda at: checks.check_images([at / "a.png"]),
    "a folder": lambda at: checks.check_images([at / "one"]),
    "a set of images": lambda at: checks.check_image_set(at / "two"),
    "statistics": lambda at: checks.check_image_set(at / "kept.npz"),
    "a list": lambda at: checks.check_list(at / "list.csv"),
    "no file": lambda at: checks.check_readable(None),
    "a file": lambda at: checks.check_readable(at / "kept.npz"),
    "a shape": lambda at: checks.check_mask("left", (1, 28, 28), at / "a.png"),
    "a box": lambda at: checks.check_mask("box:0,0,30,28", (1, 20, 20), at / "a.png"),
    "a box for any": lambda at: checks.check_mask("box:0,0,900,900", (1, 20, 20), at / "one"),
    "a mask file": lambda at: checks.check_mask(str(at / "a.png"), (1, 28, 28), at / "a.png"),
    "a mask folder": lambda at: checks.check_mask(str(at / "masks"), (1, 28, 28), at / "a.png"),
    "no truth": lambda at: checks.check_truth(None, at / "a.png"),
    "a truth": lambda at: checks.check_truth(at / "a.png", at / "a.png"),
    "a truth folder": lambda at: checks.check_truth(at / "masks", at / "a.png"),
    "truths of a folder": lambda at: checks.check_truth(at / "masks", at / "one"),
    "an extra": lambda at: checks.require_extra("onnx"),
    "tiles": lambda at: checks.check_tiles(at / "a.png", (1, 28, 20)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_passes(name: str, place: Path) -> None:
    RIGHT[name](place)


WRONG: dict[str, tuple[Callable[[Path], object], type[PaeError], str]] = {
    "words": (lambda at: checks.check_images([at / "words.png"]), ImageError, "not an image"),
    "nothing": (lambda at: checks.check_images([at / "empty"]), DataError, "no images in"),
    "no set": (lambda at: checks.check_image_set(at / "gone"), DataError, "does not exist"),
    "set of one": (lambda at: checks.check_image_set(at / "one"), DataError, "at least 2"),
    "empty set": (lambda at: checks.check_image_set(at / "empty"), DataError, "no images in"),
    "other set": (lambda at: checks.check_image_set(at / "a.png"), DataError, "is neither"),
    "no list": (lambda at: checks.check_list(at / "gone.csv"), DataError, "does not exist"),
    "other list": (lambda at: checks.check_list(at / "list.doc"), DataError, "is not called .csv"),
    "lost": (lambda at: checks.check_list(at / "lost.csv"), DataError, "none of the 2 files"),
    "folder": (lambda at: checks.check_readable(at), CheckpointError, "not a regular file"),
    "gone": (lambda at: checks.check_readable(at / "gone"), CheckpointError, "cannot read"),
    "bad shape": (lambda at: checks.check_mask("middle", (1, 28, 28), at / "a.png"), UsageError,
                  "no mask 'middle'"),
    "wide box": (lambda at: checks.check_mask("box:0,0,31,28", (1, 28, 28), at / "a.png"),
                 UsageError, "30 pixels wide and 28 high"),
    "bad mask": (lambda at: checks.check_mask(str(at / "words.png"), (1, 28, 28), at / "a.png"),
                 ImageError, "not an image"),
    "no mask": (lambda at: checks.check_mask(str(at / "empty"), (1, 28, 28), at / "a.png"),
                ImageError, "1 of 1 images have no mask of their name"),
    "no truth": (lambda at: checks.check_truth(at / "gone.png", at / "a.png"), ImageError, "gone"),
    "lacking": (lambda at: checks.check_truth(at / "empty", at / "a.png"), ImageError, "no truth"),
    "no noise": (lambda at: checks.check_noise("much", at / "a.png"), UsageError, "is no number"),
    "bad noise": (lambda at: checks.check_noise(str(at / "words.png"), at / "a.png"), ImageError,
                  "not an image"),
    "no maps": (lambda at: checks.check_noise(str(at / "empty"), at / "a.png"), ImageError,
                "no noise map"),
    "negative": (lambda at: checks.check_noise("-0.1", at / "a.png"), UsageError,
                 "standard deviation"),
    "low": (lambda at: checks.check_tiles(at / "a.png", (1, 29, 20)), UsageError, ""),
    "narrow": (lambda at: checks.check_tiles(at / "a.png", (1, 28, 31)), UsageError, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused(name: str, place: Path) -> None:
    check, kind, says = WRONG[name]
    with pytest.raises(kind) as refused:
        check(place)
    assert says in str(refused.value)


def test_lists_and_levels_are_read(place: Path) -> None:
    assert [row.file.name for row in checks.check_list(place / "list.csv")] == ["a.png", "gone.png"]
    assert checks.check_noise("0.25", place / "a.png") == 0.25
    assert checks.check_noise(str(place / "noise.npy"), place / "a.png") == place / "noise.npy"
    assert checks.check_noise(str(place / "masks"), place / "a.png") == place / "masks"


def test_a_model_is_asked_for_what_it_needs(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = checks.check_model(str(model_file))
    assert contents.path == model_file
    alone = contents.header.model_copy(update={"flow": None})
    monkeypatch.setattr(checks, "read_contents", lambda path: type("C", (), {
        "path": path, "header": alone})())  # fmt: skip
    assert checks.check_model(str(model_file), flow=False).header is alone
    with pytest.raises(CheckpointError, match="no flow yet"):
        checks.check_model(str(model_file))


def test_a_training_set_that_is_gone_is_refused(model_file: Path, tmp_path: Path) -> None:
    header = read_header(model_file).model_copy(update={"data": {"dataset": "/gone/away"}})
    with pytest.raises(DataError, match="gone"):
        checks.check_training_set(header)
    checks.check_training_set(header, instead="fmnist-mini")
    checks.check_training_set(header, data_dir=tmp_path)
    checks.check_training_set(read_header(model_file))


def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: None if name == "onnxruntime" else name)
    with pytest.raises(UsageError, match=r"needs onnxruntime, .*'paecli\[onnx\]'"):
        checks.require_extra("onnx")
    checks.require_extra("watch")
