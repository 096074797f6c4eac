"""Completion in the shells themselves, where they are installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMPLETE = {
    # what a user of each shell gets for `pae tra` and the tabulator
    "bash": 'source "$1"; COMP_WORDS=(pae tra); COMP_CWORD=1; _pae_completion pae; '
    'printf "%s\\n" "${COMPREPLY[@]}"',
    # zsh completes in an editor only: what the script hands to it is printed instead
    "zsh": 'autoload -U compinit; compinit -D; source "$1"; '
    "_arguments() { print -l ${(Q)@} }; _describe() { print -l ${(Q)@} }; "
    "words=(pae tra); CURRENT=2; ${_comps[pae]}",
    "fish": 'source "$argv[1]"; complete -C "pae tra"',
}
RUN = {
    "bash": ["bash", "--norc", "-c", COMPLETE["bash"], "bash"],
    "zsh": ["zsh", "-f", "-c", COMPLETE["zsh"], "zsh"],
    "fish": ["fish", "--no-config", "-c", COMPLETE["fish"]],
}


def script_of(shell: str) -> str:
    # asked for by name: `--show-completion` looks at the parent process, which is none in CI
    ended = subprocess.run(
        [sys.executable, "-m", "paecli"],
        capture_output=True,
        text=True,
        env=os.environ | {"_PAE_COMPLETE": f"source_{shell}"},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("shell", list(RUN))
def test_the_shell_completes_commands(shell: str, tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(script_of(shell))
    assert "_PAE_COMPLETE" in script.read_text()
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed; the script was written, not tried")
    command = tmp_path / "pae"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m paecli "$@"\n')
    command.chmod(0o755)
    ended = subprocess.run(
        [*RUN[shell], str(script)],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)},
    )
    assert "train-ae" in ended.stdout, ended
    assert "train-flow" in ended.stdout
    assert "inpaint" not in ended.stdout
