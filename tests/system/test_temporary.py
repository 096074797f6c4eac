import os
import signal
import subprocess
import sys
from pathlib import Path

from paecli.system.temporary import PREFIX, remove_leftovers, temporary_folder

HOLD = (
    "import sys, time; from pathlib import Path\n"
    "from paecli.system.temporary import temporary_folder\n"
    "with temporary_folder(Path(sys.argv[1])) as folder:\n"
    "    (folder / 'large').write_text('half')\n"
    "    print(folder, flush=True); time.sleep(60)\n"
)


def test_it_is_gone_afterwards(tmp_path: Path) -> None:
    with temporary_folder(tmp_path) as folder:
        (folder / "inner").mkdir()
        remove_leftovers(tmp_path)
        assert (folder / "inner").is_dir()
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_kill_are_removed_and_nothing_else(tmp_path: Path) -> None:
    mine = [tmp_path / ".tmp-mine", tmp_path / f"{PREFIX}someones", tmp_path / "elsewhere" / "file"]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"{PREFIX}mine").mkdir()
    for path in mine:
        path.write_text("somebody's")
    (tmp_path / f"{PREFIX}one_link").symlink_to("elsewhere")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        remove_leftovers(tmp_path)
        assert (left / "large").exists()  # it is at work
        os.kill(process.pid, signal.SIGKILL)
    assert (left / "large").exists()
    remove_leftovers(tmp_path)
    assert not left.exists()
    assert all(path.read_text() == "somebody's" for path in mine)
    assert (tmp_path / f"{PREFIX}one_link").is_symlink()
    assert (tmp_path / f"{PREFIX}mine").is_dir()
