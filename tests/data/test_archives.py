import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from paecli.data.archives import staging_folder, unpack_archives
from paecli.data.named_sets import NAMED_SETS, NamedSet
from paecli.errors import DataError
from paecli.progress import NullProgress

CELEBA = NAMED_SETS["celeba"]
OMNIGLOT = NAMED_SETS["omniglot"]
CIFAR10 = NAMED_SETS["cifar10"]


def half_write(folder: Path) -> None:
    folder.mkdir()
    raise KeyboardInterrupt


def unpack(named: NamedSet, data_dir: Path) -> bool:
    return unpack_archives(named, data_dir, NullProgress())


def test_unpacks_a_zip_into_the_cache(tmp_path: Path, empty_machine: Path) -> None:
    (tmp_path / "celeba").mkdir()
    with zipfile.ZipFile(tmp_path / "celeba" / "img_align_celeba.zip", "w") as archive:
        archive.writestr("img_align_celeba/000001.jpg", b"a face")
    assert unpack(CELEBA, tmp_path)
    unpacked = empty_machine / "celeba" / "img_align_celeba" / "000001.jpg"
    assert unpacked.read_bytes() == b"a face"
    assert [entry.name for entry in empty_machine.iterdir()] == ["celeba"]


def test_needs_all_archives_of_a_set(tmp_path: Path, empty_machine: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images_background.zip", "w") as archive:
        archive.writestr("images_background/Greek/c01/1.png", b"alpha")
    assert not unpack(OMNIGLOT, tmp_path)
    shutil.copy(tmp_path / "images_background.zip", tmp_path / "images_evaluation.zip")
    assert unpack(OMNIGLOT, tmp_path)
    assert (empty_machine / "omniglot" / "images_background").is_dir()


def test_without_archives_nothing_happens(tmp_path: Path, empty_machine: Path) -> None:
    assert not unpack(CIFAR10, tmp_path)
    assert not unpack(NAMED_SETS["fmnist"], tmp_path)
    assert not empty_machine.exists()


def test_damaged_archives_are_one_line_and_leave_nothing(
    tmp_path: Path, empty_machine: Path
) -> None:
    (tmp_path / "img_align_celeba.zip").write_bytes(b"<html>quota exceeded</html>")
    with pytest.raises(DataError, match=r"cannot unpack .*img_align_celeba\.zip.*again"):
        unpack(CELEBA, tmp_path)
    assert list(empty_machine.iterdir()) == []


def test_archives_cannot_write_outside(tmp_path: Path, empty_machine: Path) -> None:
    (tmp_path / "evil").write_text("evil")
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "evil", arcname="../../evil")
    with pytest.raises(DataError, match="cannot unpack"):
        unpack(CIFAR10, tmp_path)
    assert list(empty_machine.parent.rglob("evil")) == []


def test_staging_replaces_only_after_success(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with staging_folder(root) as staging:
        (staging / "set").mkdir()
        (staging / "set" / "old").touch()
    with pytest.raises(KeyboardInterrupt), staging_folder(root) as staging:
        half_write(staging / "set")
    assert [path.name for path in root.rglob("*")] == ["set", "old"]
    with staging_folder(root) as staging:
        (staging / "set").mkdir()
        (staging / "set" / "new").touch()
    assert [path.name for path in root.rglob("*")] == ["set", "new"]
