"""What all commands share: help, version, errors, exit codes, completion."""

import re
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from typer.testing import CliRunner

import paecli
from paecli.cli import app as application
from paecli.cli.app import PANELS, app, main
from paecli.system.errors import DataError, PaeError, UsageError

HEAVY = ("torch", "torchvision", "numpy", "sklearn", "matplotlib", "accelerate", "FrEIA")
runner = CliRunner()


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Runs `pae` with a command line that ends in the given error; returns the exit code."""
    monkeypatch.delenv(application.DEBUG, raising=False)

    def run(error: BaseException) -> int:
        def fail(**options: str) -> None:
            raise error

        monkeypatch.setattr(application, "app", fail)
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return run


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train-ae", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        f"sys.argv = ['pae', *{arguments!r}]\n"
        "from paecli.__main__ import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_version() -> None:
    result = runner.invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout == f"pae {paecli.__version__}\n"


def test_help_names_every_command() -> None:
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    assert all(command in result.stdout for command in PANELS)


@pytest.mark.parametrize("command", PANELS)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    result = runner.invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert f"pae {command}" in result.stdout.replace("Usage: pae", "", 1)


def test_no_command_shows_the_help() -> None:
    result = runner.invoke(app, [])
    assert "First steps" in result.stdout + result.stderr


@pytest.mark.parametrize("arguments", [["no-such-command"], ["train-ae", "--no-such-option"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert runner.invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize(
    ("error", "code"), [(PaeError("a"), 1), (DataError("b"), 1), (UsageError("c"), 2)]
)
def test_errors_are_one_line_on_standard_error(
    failing: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    error: PaeError,
    code: int,
) -> None:
    assert failing(error) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"Error: {error}\n"


def test_long_messages_and_markup_are_printed_as_they_stand(
    failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    message = "cannot read [bold]/a/very/long/path[/bold]" + "/folder" * 60
    failing(DataError(message))
    assert capsys.readouterr().err == f"Error: {message}\n"


def test_debug_shows_the_traceback(
    failing: Callable[[BaseException], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(application.DEBUG, "1")
    with pytest.raises(DataError):
        failing(DataError("a"))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(36, "File name too long", "a" * 5000), "Error: cannot use a+: File name too long"),
        (PermissionError(13, "Permission denied", "/secret"), "cannot use /secret: Permission den"),
        (MemoryError(), "Error: not enough memory; ask for fewer"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "not enough mem"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has"),
            "the accelerator's memory is full; .* a smaller --batch-size or --device cpu",
        ),
        (
            RuntimeError("CUDA error: out of memory\nCUDA kernel errors"),
            "accelerator's mem",
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "accelerator's mem"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), "accelerator's mem"),
        (RuntimeError("XPU out of memory. Tried to allocate 20.00 GiB"), "accelerator's mem"),
    ],
)
def test_what_the_system_refuses_is_one_line(
    failing: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    says: str,
) -> None:
    assert failing(error) == 1
    printed = capsys.readouterr().err
    assert re.search(says, printed)
    assert len(printed) < 400
    assert printed.count("\n") == 1


def test_faults_of_our_own_are_not_hidden(failing: Callable[[BaseException], int]) -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        failing(RuntimeError("shapes differ"))


def test_interruption_exits_as_shells_expect(failing: Callable[[BaseException], int]) -> None:
    assert failing(KeyboardInterrupt()) == 130


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["ood", ""], "an argument"), (["sample", "--out", ""], "--out"),
        (["train-ae", ""], "an argument"), (["info", "", "--json"], "an argument"),
        (["sample", "--out="], "--out"),
        (["publish", "a", "--to", "b", "--name", "", ""], "an argument"),
    ],
)  # fmt: skip
def test_a_variable_that_is_not_set_is_not_the_working_folder(
    arguments: list[str], what: str
) -> None:
    result = runner.invoke(app, arguments)
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == f"{what} is empty; is a variable of the shell not set?"


@pytest.mark.parametrize("argument", ["--name=", "--description=", "--licence=", "a=", "x"])
def test_words_and_file_names_may_be_empty(argument: str) -> None:
    application._refuse_empty(["publish", argument])
    application._refuse_empty(["publish", "--name", ""])


@pytest.mark.parametrize(
    ("value", "says"),
    [(float("nan"), "--n is nan; give a finite number"), (float("-inf"), "give a finite number"),
     (10**15 + 1, "--n has 16 digits; give at most 1,000,000,000,000,000"),
     (-(10**15) - 1, "has 16 digits"), (10**15, ""), (-(10**15), ""), (True, ""), ("nan", "")],
)  # fmt: skip
def test_numbers_are_finite_and_no_larger_than_libraries_hold(value: object, says: str) -> None:
    if not says:
        application._refuse_odd_number("--n", value)
        return
    with pytest.raises(UsageError, match=says):
        application._refuse_odd_number("--n", value)
