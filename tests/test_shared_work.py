"""Two processes under torchrun answer as one does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from paecli.cli.app import app
from paecli.data import load_dataset, write_image
from paecli.data.sharing import Told, _decode, _encode
from paecli.outliers.score_files import CHUNK

COMMANDS = (
    "ood --model mnist-8 in --json --csv CSV.csv",
    "ood mnist-8 --against noise --limit 450 --score log_prob --json",
)
OF_A_CLOCK = {"seconds"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    images = load_dataset("mnist-mini").test.images
    for index, image in enumerate(images[: CHUNK + 20]):
        write_image(folder / "in" / f"{index:04}.png", image)
    (folder / "in" / f"{CHUNK - 3:04}.png").write_bytes(b"no image")
    (folder / "in" / f"{CHUNK + 3:04}.png").write_bytes(b"no image")
    return folder


def printed(stdout: str) -> list[dict[str, Any]]:
    answers = [json.loads(line) for line in stdout.splitlines() if line.startswith("{")]
    return [{k: v for k, v in answer.items() if k not in OF_A_CLOCK} for answer in answers]


def test_two_processes_answer_as_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    runner = CliRunner()
    alone = []
    for command in COMMANDS:
        monkeypatch.setenv("PAE_CACHE", str(folder / "one"))
        result = runner.invoke(app, command.replace("CSV", "one").split())
        assert result.exit_code == 0, result.output
        alone += printed(result.stdout)
    # all commands in one start of the processes, whose imports take seconds
    (folder / "all.py").write_text(
        "import sys\nfrom paecli.cli.app import app\n"
        "for command in sys.argv[1:]:\n    app(command.split(), standalone_mode=False)\n"
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    commands = [command.replace("CSV", "two") for command in COMMANDS]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", "all.py", *commands],
        cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"PAE_CACHE": str(folder / "two"), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert printed(done.stdout) == alone
    assert len(alone) == len(COMMANDS)  # one process prints
    assert len(alone[0]["unreadable"]) == 2
    assert (folder / "two.csv").read_bytes() == (folder / "one.csv").read_bytes()
    assert done.stderr.count("Most unusual images") == 1


def test_what_processes_tell_each_other_comes_out_as_it_went_in() -> None:
    told = Told({"a b": torch.rand(2, 3)[:, 1:], "": torch.zeros(0)}, [["Ünder", None], {"x": 0.1}])
    found = _decode(_encode(told))
    assert found.said == told.said
    assert found.tensors.keys() == told.tensors.keys()
    assert all(found.tensors[name].equal(tensor) for name, tensor in told.tensors.items())
