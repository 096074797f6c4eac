import gzip
import io
import multiprocessing
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paecli.data.sets import archives
from paecli.data.sets.archives import staging_folder, unpack_archives
from paecli.data.sets.named_sets import NAMED_SETS, NamedSet
from paecli.system.errors import DataError
from paecli.system.progress import NullProgress

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


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_archives_hold_files_and_folders_only(
    tmp_path: Path, empty_machine: Path, kind: bytes
) -> None:
    member = tarfile.TarInfo("cifar-10-batches-py/link")
    member.type, member.linkname = kind, "elsewhere"
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.addfile(member)
    with pytest.raises(DataError, match="neither a file nor a folder"):
        unpack(CIFAR10, tmp_path)
    assert list(empty_machine.iterdir()) == []


def test_archives_that_unpack_into_far_more_are_refused(
    tmp_path: Path, empty_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "ALWAYS_ALLOWED", 1000)
    zeros = bytes(2_000_000)  # some 2 kB when packed
    with zipfile.ZipFile(tmp_path / "img_align_celeba.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("img_align_celeba/000001.jpg", zeros)
    with pytest.raises(DataError, match=r"files take 2\.0 MB or more"):
        unpack(CELEBA, tmp_path)
    member = tarfile.TarInfo("a")
    member.size = len(zeros)
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as tar:
        tar.addfile(member, io.BytesIO(zeros))
    with pytest.raises(DataError, match=r"files take 2\.0 MB or more"):
        unpack(CIFAR10, tmp_path)
    assert list(empty_machine.iterdir()) == []


def test_a_header_of_absurd_length_costs_no_memory(tmp_path: Path, empty_machine: Path) -> None:
    member = tarfile.TarInfo("pax")
    member.type, member.size = tarfile.XHDTYPE, 1 << 33
    packed = gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(packed)
    with pytest.raises(DataError, match="absurd length"):
        unpack(CIFAR10, tmp_path)


def unpack_in_process(data_dir: Path) -> bool:
    return unpack(CELEBA, data_dir)


def test_two_processes_unpack_once(tmp_path: Path, empty_machine: Path) -> None:
    with zipfile.ZipFile(tmp_path / "img_align_celeba.zip", "w") as archive:
        for number in range(300):
            archive.writestr(f"img_align_celeba/{number:06}.jpg", b"a face")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(unpack_in_process, [tmp_path] * 2, chunksize=1) == [True, True]
    assert len(list((empty_machine / "celeba" / "img_align_celeba").iterdir())) == 300


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


@pytest.mark.parametrize("named", [CELEBA, CIFAR10], ids=["zip", "tar"])
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6))
def test_a_damaged_archive_is_unpacked_inside_or_refused(
    tmp_path: Path, empty_machine: Path, named: NamedSet, changes: list[tuple[float, int]]
) -> None:
    (archive,) = named.archives
    source = tmp_path / "source"
    (source / "folder").mkdir(parents=True, exist_ok=True)
    (source / "folder" / "file").write_bytes(b"content")
    form = "zip" if archive.endswith("zip") else "tar"
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), form, source))
    content = bytearray(packed.read_bytes())
    for place, value in changes:
        content[int(place * (len(content) - 1))] = value
    given_folder = tmp_path / "given"
    given_folder.mkdir(exist_ok=True)
    compressed = content if form == "zip" else gzip.compress(content, 1)
    (given_folder / archive).write_bytes(compressed)
    message = ""
    try:
        unpack(named, given_folder)
    except DataError as error:
        message = str(error)
    assert "\n" not in message
    for path in empty_machine.rglob("*"):
        assert path.is_dir() or path.is_file()
        assert not path.is_symlink()
    assert [path.name for path in given_folder.iterdir()] == [archive]
    shutil.rmtree(empty_machine, ignore_errors=True)
