import hashlib
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.listener import Listener
from torchvision import datasets

from paecli.data import load_dataset
from paecli.data.sets.named_sets import NAMED_SETS
from paecli.system.errors import DataError

from .idx_files import idx_bytes

TEST_LABELS = "t10k-labels-idx1-ubyte.gz"


def replace_labels(folder: Path, labels: list[int]) -> None:
    (folder / TEST_LABELS).write_bytes(idx_bytes(np.array(labels, dtype=np.uint8)))


def test_relatives_of_mnist_are_not_confused(
    tmp_path: Path, write_idx_set: Callable[..., Path]
) -> None:
    folder = write_idx_set(tmp_path)
    replace_labels(folder, list(NAMED_SETS["fmnist"].first_test_labels))
    assert load_dataset("fmnist", data_dir=folder, download=False)
    with pytest.raises(DataError, match="are those of fmnist, not of MNIST"):
        load_dataset("mnist", data_dir=folder, download=False)


@pytest.mark.parametrize("labels", [[1, 2, 3], [99] * 10, []], ids=["fewer", "unknown", "none"])
def test_labels_must_fit_the_images(
    tmp_path: Path, write_idx_set: Callable[..., Path], labels: list[int]
) -> None:
    replace_labels(write_idx_set(tmp_path), labels)
    with pytest.raises(DataError, match="do not belong together"):
        load_dataset("kmnist", data_dir=tmp_path, download=False)


def write_npz_set(folder: Path, count: int = 20) -> None:
    for part, images in (("train", count), ("test", count // 2)):
        pixels = np.arange(images * 20, dtype=np.uint8).reshape(images, 4, 5)
        np.savez_compressed(folder / f"kmnist-{part}-imgs.npz", pixels)
        labels = (np.arange(images) % 10).astype(np.uint8)
        np.savez_compressed(folder / f"kmnist-{part}-labels.npz", labels)


def test_kmnist_as_numpy_archives_is_the_set_as_idx_files(
    tmp_path: Path, write_idx_set: Callable[..., Path]
) -> None:
    write_idx_set(tmp_path / "idx" / "kmnist")
    (tmp_path / "npz" / "kmnist").mkdir(parents=True)
    write_npz_set(tmp_path / "npz" / "kmnist")
    idx, npz = (
        load_dataset("kmnist", data_dir=tmp_path / kind, download=False) for kind in ("idx", "npz")
    )
    assert npz.content_hash == idx.content_hash
    assert npz.train.classes == idx.train.classes
    assert npz.train.labels is not None
    assert idx.train.labels is not None
    assert npz.train.labels.equal(idx.train.labels)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("cut short", "cannot read"),
        ("no archive", "cannot read"),
        ("pickle", "cannot read"),
        ("floats", "type float64"),
        ("wrong count", "do not belong together"),
        ("another name", "cannot read"),
    ],
)
def test_damaged_numpy_archives_are_named(tmp_path: Path, damage: str, problem: str) -> None:
    write_npz_set(tmp_path)
    file = tmp_path / "kmnist-train-imgs.npz"
    if damage == "cut short":
        file.write_bytes(file.read_bytes()[:200])
    elif damage == "no archive":
        file.write_bytes(b"nothing")
    elif damage == "pickle":
        np.savez(file, np.array([{}], dtype=object))
    elif damage == "floats":
        np.savez(file, np.zeros((20, 4, 5)))
    elif damage == "wrong count":
        np.savez(file, np.zeros((19, 4, 5), np.uint8))
    else:
        np.savez(file, images=np.zeros((20, 4, 5), np.uint8))
    with pytest.raises(DataError, match=problem):
        load_dataset("kmnist", data_dir=tmp_path, download=False)


def celeba_image(path: Path, face: int) -> None:
    """An aligned face: the central 140x140 pixels are `face`, the rest is black."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (178, 218))
    image.paste((face, face, face), (19, 39, 159, 179))
    image.save(path, quality=95)


def test_celeba_takes_the_face_and_the_official_partition(tmp_path: Path) -> None:
    folder = tmp_path / "celeba" / "img_align_celeba"
    for number, face in {1: 60, 162_770: 120, 162_771: 0, 182_637: 0, 182_638: 200}.items():
        celeba_image(folder / f"{number:06}.jpg", face)
    dataset = load_dataset("celeba", data_dir=tmp_path, download=False)
    assert dataset.train.images.shape == (2, 3, 64, 64)
    means = torch.cat([dataset.train.images, dataset.test.images]).float().mean((1, 2, 3))
    torch.testing.assert_close(means, torch.tensor([60.0, 120.0, 200.0]), atol=3, rtol=0)
    small = load_dataset("celeba", data_dir=tmp_path, image_size=32, channels=1, download=False)
    assert small.train.image_shape == (1, 32, 32)


def test_celeba_without_its_images_says_so(tmp_path: Path) -> None:
    celeba_image(tmp_path / "img_align_celeba" / "000001.jpg", 9)
    with pytest.raises(DataError, match="lacks the numbered images"):
        load_dataset("celeba", data_dir=tmp_path, download=False)


PARTITION = "000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n000004.jpg 0\n000005.jpg 2\n"


@pytest.mark.parametrize("layout", ["official folder", "official zip", "beside", "csv"])
def test_celeba_follows_its_partition_file(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "CelebA"
    images = root / ("Img" if "official" in layout else "") / "img_align_celeba"
    for number in range(1, 7):  # the last is not in the partition
        celeba_image(images / f"{number:06}.jpg", 40 * number)
    folder = root / "Eval" if "official" in layout else root
    folder.mkdir(exist_ok=True)
    if layout == "csv":
        lines = "image_id,partition\n" + PARTITION.replace(" ", ",")
        (folder / "list_eval_partition.csv").write_text(lines)
    else:
        (folder / "list_eval_partition.txt").write_text(PARTITION)
    if layout == "official zip":
        shutil.make_archive(str(images), "zip", images.parent, images.name)
        shutil.rmtree(images)
        # unpacked away from its partition: by number, all of these are training images
        for number in (182_638, 182_639):
            celeba_image(images / f"{number:06}.jpg", 100)
        with zipfile.ZipFile(images.with_suffix(".zip"), "a") as packed:
            for file in images.iterdir():
                packed.write(file, f"{images.name}/{file.name}")
        shutil.rmtree(images)
    said = Listener()
    dataset = load_dataset("celeba", data_dir=tmp_path, download=False, progress=said)
    expected = (6, 2) if layout == "official zip" else (2, 2)
    assert (len(dataset.train), len(dataset.test)) == expected
    assert any("whole it has 162,770 and 19,962" in line for line in said.lines)


def test_celeba_leaves_out_corrupt_images_and_counts_them(tmp_path: Path) -> None:
    folder = tmp_path / "celeba" / "img_align_celeba"
    for number in (1, 2, 3, 182_638, 182_639):
        celeba_image(folder / f"{number:06}.jpg", 90)
    whole = (folder / "000002.jpg").read_bytes()
    (folder / "000002.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "182639.jpg").write_bytes(b"")
    said = Listener()
    dataset = load_dataset("celeba", data_dir=tmp_path, download=False, progress=said)
    assert (len(dataset.train), len(dataset.test)) == (2, 1)
    assert any(line.startswith("1 of 3 images left out") for line in said.lines)
    assert any("has 2 training and 1 test images" in line for line in said.lines)


@pytest.mark.parametrize(
    "text", ["000001.jpg\n", "000001.jpg 7\n", "000001.jpg 0 0\n", b"\xff\xfe\x00"]
)
def test_a_damaged_partition_is_named_with_its_line(tmp_path: Path, text: str | bytes) -> None:
    celeba_image(tmp_path / "celeba" / "img_align_celeba" / "000001.jpg", 9)
    partition = tmp_path / "celeba" / "list_eval_partition.txt"
    partition.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=r"list_eval_partition.txt.*download it again"):
        load_dataset("celeba", data_dir=tmp_path, download=False)


def test_other_versions_of_celeba_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    for number in (1, 182_638):
        Image.new("RGB", (64, 64)).save(folder / f"{number:06}.jpg")
    with pytest.raises(DataError, match="has 64 x 64 pixels, aligned images of CelebA 178 x 218"):
        load_dataset("celeba", data_dir=tmp_path, download=False)


def test_wrong_counts_are_told(tmp_path: Path, write_idx_set: Callable[..., Path]) -> None:
    write_idx_set(tmp_path)
    said = Listener()
    data = load_dataset("kmnist", data_dir=tmp_path, download=False, progress=said)
    (line,) = said.lines
    assert line.startswith(f"KMNIST in {tmp_path} has {len(data.train)} training")
    assert "whole it has 60,000 and 10,000" in line


def test_omniglot_is_white_on_black(tmp_path: Path) -> None:
    for part, alphabet in (("images_background", "Greek"), ("images_evaluation", "Tengwar")):
        for character in ("character01", "character02"):
            file = tmp_path / "omniglot-py" / part / alphabet / character / "1.png"
            file.parent.mkdir(parents=True)
            image = Image.new("1", (105, 105), 1)
            image.paste(0, (0, 0, 53, 105))  # ink on the left half
            image.save(file)
    dataset = load_dataset("omniglot", data_dir=tmp_path, download=False)
    assert dataset.train.images.shape == (2, 1, 28, 28)
    assert dataset.train.images[0, 0, 5, [0, 27]].tolist() == [255, 0]
    assert dataset.train.classes[0] == "Greek/character01"
    assert dataset.test.labels is not None
    assert dataset.test.labels.tolist() == [2, 3]


def write_cifar10(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes a tiny CIFAR-10 and tells torchvision its checksums."""
    folder.mkdir(parents=True)
    checksums = {}
    for number, name in enumerate(NAMED_SETS["cifar10"].files):
        entry: dict[str, object] = {"label_names": ["plane", "car"]}
        if name != "batches.meta":
            entry = {"data": np.full((2, 3072), number, dtype=np.uint8), "labels": [0, 1]}
        content = pickle.dumps(entry)
        (folder / name).write_bytes(content)
        checksums[name] = hashlib.md5(content, usedforsecurity=False).hexdigest()
    batches = [[name, checksums[name]] for name in checksums if name.startswith("data")]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", batches)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", checksums["test_batch"]]])
    meta = datasets.CIFAR10.meta | {"md5": checksums["batches.meta"]}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)


@pytest.mark.parametrize("folder", ["cifar-10-batches-py", "cifar10"])
def test_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    write_cifar10(tmp_path / folder, monkeypatch)
    dataset = load_dataset("cifar10", data_dir=tmp_path, download=False)
    assert dataset.train.images.shape == (10, 3, 32, 32)
    assert dataset.train.images[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert dataset.test.images.unique().tolist() == [5]
    assert dataset.train.classes == ("plane", "car")


def test_a_changed_pickle_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path / "cifar10", monkeypatch)
    (tmp_path / "cifar10" / "test_batch").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    monkeypatch.setattr(pickle, "load", lambda *args, **kwargs: pytest.fail("unpickled"))
    with pytest.raises(DataError, match="are damaged"):
        load_dataset("cifar10", data_dir=tmp_path, download=False)


@pytest.mark.parametrize("damage", ["cut short", "one missing", "one more entry"])
def test_other_cifar10_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    folder = tmp_path / "cifar10"
    write_cifar10(folder, monkeypatch)
    batch = folder / "data_batch_3"
    if damage == "cut short":
        batch.write_bytes(batch.read_bytes()[:-9])
    elif damage == "one missing":
        batch.unlink()
    else:
        batch.write_bytes(pickle.dumps({"data": np.zeros((3, 3072), np.uint8), "labels": [0] * 3}))
    problem = "is in none of" if damage == "one missing" else "are damaged; download them again"
    with pytest.raises(DataError, match=problem):
        load_dataset("cifar10", data_dir=tmp_path, download=False)
