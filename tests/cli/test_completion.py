"""Completion in the shells themselves: installed and used as by a user, where they are there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# what a new shell of each kind does after it was installed, for `pae tra` and the tabulator
COMPLETE = {
    "bash": 'source "$HOME/.bashrc"; COMP_WORDS=(pae tra); COMP_CWORD=1; _pae_completion pae; '
    'printf "%s\\n" "${COMPREPLY[@]}"',
    # zsh completes in an editor only: what the script hands to it is printed instead
    "zsh": 'source "$HOME/.zshrc"; '
    "_arguments() { print -l ${(Q)@} }; _describe() { print -l ${(Q)@} }; "
    "words=(pae tra); CURRENT=2; ${_comps[pae]}; ${_comps[pae]}",
    "fish": 'complete -C "pae tra"',
}
NEW_SHELL = {
    "bash": ["bash", "--norc", "-c"],
    "zsh": ["zsh", "-f", "-c"],
    "fish": ["fish", "-c"],
}


@pytest.mark.parametrize("shell", list(NEW_SHELL))
def test_the_shell_completes_commands_once_it_is_installed(shell: str, tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    command = tmp_path / "bin" / "pae"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m paecli "$@"\n')
    command.chmod(0o755)
    own = {"PATH": f"{command.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    gone = ("XDG_CONFIG_HOME", "ZDOTDIR")
    environment = {k: v for k, v in os.environ.items() if k not in gone} | own

    def run(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*NEW_SHELL[shell], line], capture_output=True, text=True, env=environment
        )

    # more than one command, or the shell would become pae, which looks for the shell above it
    installed = run("pae --install-completion; true")
    assert "completion installed" in installed.stdout, installed
    ended = run(COMPLETE[shell])
    assert "train-ae" in ended.stdout, ended
    assert "train-flow" in ended.stdout
    assert "inpaint" not in ended.stdout
