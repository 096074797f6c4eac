"""Every command that needs no network, typed as users type it: each answer is the kept one.

The model is the smallest shipped one, whose weights are fixed, so that figures are, too, but for
the last digits, and those of restorations. Chains and tempering are left out.
"""

import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

import paecli
from paecli.api import load
from paecli.cli import console, screen
from paecli.cli.app import app
from paecli.cli.console import PlainTask
from paecli.data import load_dataset, write_image
from paecli.data.sets import locations
from paecli.model.requirements import SCORE_NAMES
from paecli.outliers.scores import measure_scores
from paecli.store.checkpoint import save_pae
from paecli.store.runs import load_with_header
from paecli.system.folders import CACHE_VARIABLE

from .kept_answers import compare, described_picture

MODEL = "mnist-8"
FILE, MAPS = "digits.safetensors", "maps.safetensors"  # the same; quicker with few held-out images
KEPT = {FILE: 3, MAPS: 20}  # 20 are as few as a p-value of .05 needs
QUICK = """
autoencoder:
  network: mlp
  network_options: {width: 32, blocks: 1}
  latent_size: 4
  optimiser: {method: adamw, epochs: 2, batch_size: 32, precision: fp32}
flow:
  blocks: 2
  flow_options: {width: 16}
  optimiser: {method: adamw, epochs: 2, batch_size: 32, precision: fp32}
"""
COMMANDS = {
    "samples": "samples pictures",
    "info": f"info {MODEL}",
    "info-all": f"info {MODEL} --all --json",
    "sample": f"sample {MODEL} -n 5 --seed 3 --temperature 0.8 --files --out drawn --json",
    "sample-text": f"sample {MODEL} -n 2 --out drawn",
    "interpolate": f"interpolate in/0.png in/1.png --model {FILE} --steps 4 --files --out way "
    "--json",
    "interpolate-text": f"interpolate test:3 in/1.png --model {FILE} --steps 2 --out way",
    "ood": f"ood {FILE} in --json --csv a.csv --jsonl a.jsonl --report page",
    "ood-fdr": f"ood {FILE} in --fdr 0.1 --score log_prob",
    "ood-fpr": f"ood {FILE} in/0.png in/5.png --fpr 0.2 --score reconstruction_error",
    "ood-maps": f"ood {MAPS} in --maps maps --json",
    "ood-sets": f"ood {FILE} --against hflip --against noise --limit 60 --score log_prob "
    "--score combined --report sets --json",
    "inpaint": f"inpaint in/0.png --mask box --model {FILE} --method laplace --starts 8 "
    "--samples 4 --truth in/0.png --out restored --json",
    "inpaint-random": f"inpaint in/1.png --mask random:0.4 --model {FILE} --method mixture "
    "--starts 4 --samples 3 --noise 0.1 --seed 2 --out restored --json",
    "inpaint-file": f"inpaint in/2.png --mask mask.png --model {FILE} --method map --starts 2 "
    "--out restored",
    "inpaint-small": f"inpaint small.png --downsample 2 --blur 0.6 --noise 0.05 --model {FILE} "
    "--method laplace --starts 2 --samples 3 --out restored --json",
    "denoise": f"denoise noisy --noise 0.2 --model {FILE} --method laplace --starts 2 "
    "--samples 2 --out restored --json",
    "eval": f"eval {FILE} --dataset mnist-mini --kid --features classifier --samples 100 "
    "--report page --json",
    "publish": f"publish {MODEL} --to registry --name digits --licence CC-BY-4.0 "
    "--description 'Digits' --json",
    "publish-again": f"publish {MODEL} --to shelf --name digits && "
    f"publish {MODEL} --to shelf --name digits --half --replace && "
    "download --list --registry shelf",
    "download-list": "download --list --json",
    "download-text": "download --list",
    "download": f"download {MODEL} --json",
    "watch": f"watch in --model {FILE} --jsonl given.jsonl --once --score log_prob --fpr 0.3",
    "fid": "fid first.npz second.npz --json",
    "recalibrate": f"recalibrate {FILE} many --out again --json && "
    "ood again/model.safetensors in --score log_prob --fpr 0.02",
    "train": "train-ae mnist-mini --config quick.yaml --limit 96 --out run --json && "
    "train-flow run --json && info run --json && eval run",
}  # fmt: skip
SEARCHES = {"inpaint", "denoise"}  # of commands; a last digit sends them elsewhere
UNSTEADY = {
    "two_sample", "versions", "sha256", "content_hash", "autoencoder_hash", "size", "threads",
    "mtime_ns", "inode",
}  # fmt: skip
UNSEEN = r"<style>.*?</style>|<footer>.*?</footer>|src=\"[^\"]*\"|<wbr>"  # of a page
CELLS, PARTS = r"</?t[dh][^>]*>", r"</?(?:div|tr|table|tbody|thead|main|body|head)[^>]*>"
# pictures with letters, which other fonts draw otherwise, by their names or folders
PLOTS = ("overview.png", "scale.png", "page", "sets", "run", "way/grid.png")
HASH = re.compile("[0-9a-f]{64}")
SOURCE = re.compile("^[0-9a-f]{16}(?=-)")  # what a journal calls a model: a hash of its file
CLOCK = re.compile(r" +\d+\.\d\d│$")  # the column of seconds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What commands are typed beside: digits, a mask, noisy and small images, a model."""
    folder = tmp_path_factory.mktemp("answers")
    digits = load_dataset("mnist-mini").test.images[:5].float() / 255
    for index, image in enumerate(digits):
        write_image(folder / "in" / f"{index}.png", image)
    noise = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    write_image(folder / "in" / "5.png", noise[0].abs().clamp(0, 1))
    for index in range(2):
        noisy = (digits[index] + 0.2 * noise[index]).clamp(0, 1)
        write_image(folder / "noisy" / f"{index}.png", noisy)
    mask = torch.zeros(1, 28, 28)
    mask[:, 4:12, 6:20] = 1
    write_image(folder / "mask.png", mask)
    write_image(folder / "small.png", digits[4].view(1, 14, 2, 14, 2).mean((2, 4)))
    for file, count in KEPT.items():
        model, header = load_with_header(MODEL)
        errors = model.held_out_errors
        errors.u, errors.images = errors.u[:count], errors.images[:count]
        save_pae(folder / file, model, header)
    for index, image in enumerate(load_dataset("mnist-mini").test.images[5:105].float() / 255):
        write_image(folder / "many" / f"{index:03}.png", image)
    for name, shift in (("first", 0.0), ("second", 0.5)):
        np.savez(folder / f"{name}.npz", mu=np.full(3, shift), sigma=(1 + shift) * np.eye(3))
    (folder / "quick.yaml").write_text(QUICK)
    return folder


@pytest.fixture
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own on a machine without data sets, 80 columns wide."""
    here = tmp_path / "here"
    shutil.copytree(folder, here, copy_function=os.link)
    monkeypatch.chdir(here)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(locations.DATA_VARIABLE, raising=False)
    monkeypatch.setattr(locations, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", float("inf"))  # no line for being slow
    monkeypatch.setattr(screen, "stderr", Console(stderr=True, width=80, highlight=False))
    return here


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Pieces of work that were told of: what, of how many steps, and how many were done."""
    told: list[tuple[str, int, int]] = []

    class Counted(PlainTask):
        def __init__(self, description: str, total: int) -> None:
            super().__init__(description, total)
            self.place = len(told)
            told.append((description, total, 0))

        def advance(self, steps: int = 1, **shown: str) -> None:
            description, total, done = told[self.place]
            told[self.place] = (description, total, done + steps)

    monkeypatch.setattr(console, "PlainTask", Counted)
    return told


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_answer_as_before(name: str, here: Path, work: list[tuple[str, int, int]]) -> None:
    before = set(files_in(here))
    printed, spoken = [], []
    for command in COMMANDS[name].split("&&"):
        result = CliRunner().invoke(app, shlex.split(command))
        assert result.exit_code == 0, result.output
        printed += [plain(line, here) for line in result.stdout.splitlines()]
        spoken += [each for line in result.stderr.splitlines() if (each := said(line, here))]
    written = [path for path in files_in(here) if path not in before]
    answer = {
        "printed": printed,
        "said": spoken,
        "worked": work,
        "files": {path.relative_to(here).as_posix(): told(path, here) for path in written},
    }
    compare(name, answer, figures=name.split("-")[0] not in SEARCHES)


def test_scores_are_as_before(here: Path) -> None:
    model = load(MODEL)
    digits = load_dataset("mnist-mini").test.images[:12]
    x = torch.cat((digits, digits[:2].flip(-1), 255 - digits[:1]))
    scores = measure_scores(model, x, SCORE_NAMES)
    compare("scores", {name: values.tolist() for name, values in scores.items()})


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def plain(line: str, here: Path) -> Any:
    """Reads a line of JSON, without what differs between machines and versions."""
    try:
        return _steady(json.loads(_relative(line, here)))
    except ValueError:
        return _relative(line, here)


def said(line: str, here: Path) -> str:
    """Returns a line of text with times and versions left out; nothing of a line that is one."""
    if any(word in line for word in ("second", "images/s", "made with", "two-sample", "SHA-256")):
        return ""
    return CLOCK.sub("│", _relative(line, here).strip())


def told(path: Path, here: Path) -> Any:
    """Returns what a file holds as far as it is the same everywhere."""
    if path.suffix == ".png":
        names = {path.name, path.parent.name, f"{path.parent.name}/{path.name}"}
        return described_picture(path, plot=not names.isdisjoint(PLOTS))
    if path.suffix == ".jsonl":
        return [plain(line, here) for line in path.read_text().splitlines()]
    if path.suffix == ".html":
        return [each for line in _words(path.read_text()) if (each := said(line, here))]
    if path.suffix in (".md", ".yaml"):
        return [HASH.sub("HASH", line) for line in path.read_text().splitlines()]
    if path.suffix == ".csv" and "history" not in path.name:
        return _relative(path.read_text(), here).splitlines()
    return path.suffix


def _words(page: str) -> list[str]:
    """Returns what a page shows, a line a part; of pictures what stands in their place."""
    shown = re.sub(UNSEEN, "", page, flags=re.S)
    return re.sub(PARTS, "\n", re.sub(CELLS, "|", shown)).splitlines()


def _relative(text: str, here: Path) -> str:
    package = str(Path(paecli.__file__).parent)
    return text.replace(str(here), "HERE").replace(package, "PACKAGE")


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _steady(each) for key, each in value.items() if key not in UNSTEADY}
    if isinstance(value, str):
        return SOURCE.sub("MODEL", value)
    return [_steady(each) for each in value] if isinstance(value, list) else value
