"""Closed and full standard streams, and paths that shells leave as they were typed."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paecli.cli import app as application
from paecli.cli.app import app
from paecli.cli.standard_output import write_standard_output
from paecli.system.errors import WriteError

PAE = f'"{sys.executable}" -m paecli'


def shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True)


@pytest.mark.parametrize("arguments", ["--version", "--help", "download --list --json"])
@pytest.mark.parametrize("streams", [">&-", ">/dev/full", "<&- >&-"])
def test_output_that_cannot_be_written_is_one_line(arguments: str, streams: str) -> None:
    ended = shell(f"{PAE} {arguments} {streams}")
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: cannot write to standard output: ")
    assert ended.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error() -> None:
    ended = shell(f"{PAE} --version | true")
    assert ended.returncode == 0
    assert ended.stderr == ""


def test_commands_without_output_do_without_it() -> None:
    ended = shell(f"{PAE} download --list >&-")
    assert ended.returncode == 0
    assert "fmnist-32" in ended.stderr


def test_the_home_folder_counts_where_shells_leave_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["publish", "fmnist-32", "--to=~/x"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "x" / "index.yaml").is_file()
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("argument", ["~/x", "--name=a~b", "a=~/x", "--out", "-n=1"])
def test_other_arguments_stay(argument: str) -> None:
    assert application._with_home(argument) == argument


def test_an_unknown_user_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    assert application._with_home("--out=~nobody-of-this-name/x") == "--out=~nobody-of-this-name/x"
    assert Path(application._with_home("--out=~/x").partition("=")[2]).is_absolute()


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(28, "No space left on device"), WriteError), (BrokenPipeError(), BrokenPipeError)],
)
def test_text_is_written_at_once(
    error: OSError, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stream(io.StringIO):
        full = False

        def flush(self) -> None:
            if self.full:
                raise error

    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    write_standard_output("words")
    assert stream.getvalue() == "words"
    stream.full = True
    with pytest.raises(raised, match="redirect it to a file" if raised is WriteError else None):
        write_standard_output("more")
