"""The package's types as a user's own mypy sees them."""

import subprocess
import sys
from pathlib import Path

import pytest

USER = """
from pathlib import Path

import torch

import paecli
from paecli import PAE, PaeError, load, use_threads

use_threads(1)
pae: PAE = load("fmnist-32")
images = torch.zeros(4, 1, 28, 28)
latents: torch.Tensor = pae.encode(images)
p: torch.Tensor = pae.p_value(images, "combined")
error: torch.Tensor = pae.restore(images[0], noise=0.1).mean
pae.to("cpu").save(Path("model.safetensors"))
try:
    load("nowhere")
except PaeError as failure:
    print(failure.exit_code, paecli.__version__)
"""
WRONG = {
    "pae.p_value(images, 3)": "str",
    "pae.restore(images[0], method='magic')": "Literal",
    "load(3)": "Path",
    "use_threads('many')": "Literal",
}
# what pae is built on is left out: reading all of torch takes a minute
CONFIGURATION = """
[mypy]
strict = True
disallow_subclassing_any = False
follow_imports = silent
[mypy-torch.*,torchvision.*,FrEIA.*,numpy.*,sklearn.*,scipy.*,pydantic.*,accelerate.*,PIL.*]
follow_imports = skip
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What mypy in strict mode says of a user's program with right and wrong lines."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "program.py").write_text(USER + "\n".join(WRONG) + "\n")
    (folder / "mypy.ini").write_text(CONFIGURATION)
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", "cache", "program.py"],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert ended.returncode == 1, ended.stderr
    return ended.stdout.splitlines()[:-1]


def test_right_lines_pass(said: list[str]) -> None:
    first_wrong = len(USER.splitlines()) + 1
    lines = [int(line.split(":")[1]) for line in said]
    assert min(lines) >= first_wrong, said


@pytest.mark.parametrize("line", list(WRONG))
def test_wrong_lines_are_told(line: str, said: list[str]) -> None:
    number = len(USER.splitlines()) + 1 + list(WRONG).index(line)
    found = [message for message in said if message.startswith(f"program.py:{number}:")]
    assert any(WRONG[line] in message for message in found), said


def test_the_package_says_that_it_is_typed() -> None:
    import paecli

    assert (Path(paecli.__file__).parent / "py.typed").is_file()
