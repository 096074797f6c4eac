import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from paecli.system.errors import WriteError
from paecli.system.files import (
    cannot_write,
    hash_file,
    is_intact,
    replacing,
    write_atomically,
)

WRITE = "import sys; from pathlib import Path; from paecli.system.files import write_atomically; "


def half_write(path: Path, failure: type[BaseException]) -> None:
    path.write_text("half")
    raise failure


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_replaces_the_file_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    for text in ("first", "second"):
        with replacing(path) as temporary:
            temporary.write_text(text)
        assert path.read_text() == text
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_a_failure_keeps_the_old_file(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(failure), replacing(path) as temporary:
        half_write(temporary, failure)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteError, match=r"cannot write .*file\.txt: No space left"),
        replacing(tmp_path / "file.txt"),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o077, 0o022, 0o002])
def test_a_new_file_has_the_rights_of_the_umask_and_an_old_one_keeps_its_own(
    tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "new", b"a")
        (tmp_path / "old").touch(mode=0o600)
        write_atomically(tmp_path / "old", b"a")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "new") == 0o666 & ~umask
    assert mode_of(tmp_path / "old") == 0o600


@pytest.mark.parametrize("link", ["real", "../here/real", "missing", "another-link"])
def test_links_are_followed_and_stay(tmp_path: Path, link: str) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "real").write_text("old")
    (here / "another-link").symlink_to("real")
    path = tmp_path / "link-from-elsewhere"
    path.symlink_to(Path("here") / link)
    write_atomically(path, b"new")
    assert path.is_symlink()
    assert path.read_text() == "new"
    assert (here / "another-link").is_symlink()
    assert not [entry for entry in here.iterdir() if entry.name.startswith(".tmp-")]


def test_links_in_a_circle_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(WriteError, match="Too many levels of symbolic links"):
        write_atomically(tmp_path / "a", b"new")


def test_a_pipe_is_written_into_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_atomically(pipe, b"x" * 200_000)
    reader.join()
    assert read == [b"x" * 200_000]
    assert pipe.is_fifo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["pipe"]


def test_devices_are_written_into_and_stay(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert Path("/dev/null").is_char_device()
    with pytest.raises(WriteError, match="/dev/full: No space left on device; free some space"):
        write_atomically(Path("/dev/full"), b"new")
    assert Path("/dev/full").is_char_device()


def test_a_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="Is a directory; give the name of a file"):
        write_atomically(tmp_path, b"new")


def test_an_open_file_is_written_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "file"
    link = tmp_path / "link"
    with path.open("wb") as file:
        link.symlink_to(f"/dev/fd/{file.fileno()}")
        file.write(b"before ")
        file.flush()
        write_atomically(Path(f"/dev/fd/{file.fileno()}"), b"one ")
        write_atomically(Path(f"/proc/self/fd/{file.fileno()}"), b"two ")
        write_atomically(link, b"three ")
        file.write(b"after")
    assert path.read_text() == "before one two three after"


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_keeps_its_order_and_its_name(tmp_path: Path, name: str) -> None:
    script = WRITE + f"print('a'); write_atomically(Path({name!r}), b'b\\n'); print('c')"
    before = os.lstat("/dev/stdout")
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", script], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "a\nb\nc\n"
    assert os.lstat("/dev/stdout") == before


def test_a_closed_standard_output_is_one_line() -> None:
    script = WRITE + "write_atomically(Path('/dev/stdout'), b'b')"
    ended = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, script],
        capture_output=True,
        text=True,
    )
    assert "WriteError: cannot write /dev/stdout: Bad file descriptor; it is closed" in ended.stderr


def test_what_cannot_be_replaced_is_written_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mounted"
    path.write_text("old")
    place = path.stat().st_ino

    def busy(*_: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", busy)
    write_atomically(path, b"new")
    assert path.read_text() == "new"
    assert path.stat().st_ino == place


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_protected_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(WriteError, match="Permission denied"):
        write_atomically(path, b"new")
    assert path.read_text() == "old"


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match="choose another place"):
        write_atomically(tmp_path / "file" / "a" / "b", b"")
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "file"))
    with pytest.raises(WriteError, match="set PAE_CACHE to a folder of yours"):
        write_atomically(tmp_path / "file" / "a" / "b", b"")


def test_a_reader_that_has_gone_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), replacing(tmp_path / "file.txt"):
        raise BrokenPipeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.ENOSPC, "free some space"), (errno.EDQUOT, "free some space"), (errno.EBADF, "closed"),
     (errno.EISDIR, "give the name of a file"), (errno.EIO, "choose another place")],
)  # fmt: skip
def test_what_to_do_depends_on_the_error(
    number: int, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "cache"))
    said = str(cannot_write(tmp_path / "a", OSError(number, "it went wrong")))
    assert said.startswith(f"cannot write {tmp_path}/a: it went wrong; ")
    assert hint in said
    inside = str(cannot_write(tmp_path / "cache" / "b" / "a", OSError(number, "it went wrong")))
    full = number in (errno.ENOSPC, errno.EDQUOT)
    assert inside.endswith(f"; {'free some space or ' * full}set PAE_CACHE to a folder of yours")


def test_a_file_is_intact_by_size_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    digest = hash_file(path)
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert is_intact(path, size=3, sha256=digest)
    assert not is_intact(path, size=4, sha256=digest)
    assert not is_intact(path, size=3, sha256="0" * 64)
    assert not is_intact(tmp_path, size=3, sha256=digest)
    assert not is_intact(tmp_path / "b", size=3, sha256=digest)
