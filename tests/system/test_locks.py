import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from paecli.system.errors import WriteError
from paecli.system.locks import locked_folder, only_process
from paecli.system.progress import NullProgress

HOLDER = """
import sys, time
from pathlib import Path
from paecli.system.locks import locked_folder
with locked_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_one_process_s_until_it_dies(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with locked_folder(tmp_path / "run") as free:
            assert not free
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with locked_folder(tmp_path / "run") as free:
            assert free


def test_who_waits_says_so_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "cache"))
    said: list[str] = []
    order: list[str] = []

    class Told(NullProgress):
        def say(self, text: str) -> None:
            said.append(text)
            waits.set()

    def second() -> None:
        with only_process("key", "fetching a.bin", Told()):
            order.append("second")

    waits = threading.Event()
    with only_process("key", "fetching a.bin", Told()):
        other = threading.Thread(target=second)
        other.start()
        assert waits.wait(20)
        order.append("first")
    other.join(20)
    assert order == ["first", "second"]
    assert said == ["Another pae is fetching a.bin; waiting for it."]


@pytest.mark.parametrize("lock", [locked_folder, lambda _: only_process("key", "", NullProgress())])
def test_where_no_lock_can_be_made_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: Any
) -> None:
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "file" / "cache"))
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot write") as refusal, lock(tmp_path / "file" / "a"):
        pass
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("umask", "rights"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_locks_respect_the_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int, rights: int
) -> None:
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "cache"))
    before = os.umask(umask)
    try:
        for _ in range(2):
            with locked_folder(tmp_path), only_process("key", "trying", NullProgress()):
                pass
    finally:
        os.umask(before)
    for lock in (tmp_path / ".lock", tmp_path / "cache" / "locks" / "key.lock"):
        assert stat.S_IMODE(lock.stat().st_mode) == rights


def test_folders_made_for_nothing_go_again(tmp_path: Path) -> None:
    with locked_folder(tmp_path / "runs" / "new"):
        pass
    assert list(tmp_path.iterdir()) == []
    with locked_folder(tmp_path / "runs" / "new"):
        (tmp_path / "runs" / "new" / "model").touch()
    assert (tmp_path / "runs" / "new" / "model").exists()
