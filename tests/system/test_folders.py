import pwd
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paecli.cli.app import app
from paecli.system import folders


@pytest.fixture
def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As in a container: no HOME, and a number that no user has."""

    def unknown(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("HOME", "USER", "PAE_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "PAE_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folders._temporary_cache.cache_clear()
    return tmp_path


def test_a_user_without_a_home_gets_a_temporary_cache(no_home: Path) -> None:
    cache = folders.cache_folder()
    assert cache.parent == no_home
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert folders.cache_folder() == cache
    folders._temporary_cache.cache_clear()  # as the next command
    assert folders.cache_folder() == cache
    assert folders.config_file() is None


def test_a_folder_of_somebody_else_is_not_the_cache(no_home: Path) -> None:
    first = folders.cache_folder()
    first.chmod(0o777)
    folders._temporary_cache.cache_clear()
    assert folders.cache_folder() != first


@pytest.mark.parametrize("arguments", [["download", "--list"], ["info"], ["doctor"]])
@pytest.mark.parametrize("chosen", [False, True])
def test_commands_work_without_a_home(
    no_home: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], chosen: bool
) -> None:
    if chosen:
        monkeypatch.setenv("PAE_CACHE", str(no_home / "chosen"))
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    assert ("Warning: no home folder" in result.stderr) != chosen
