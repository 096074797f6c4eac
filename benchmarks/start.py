"""How long each command takes to start: processor time, modules, and whether torch is imported.

    python benchmarks/start.py                  # every command, the median of 5 runs
    python benchmarks/start.py --runs 3 --only info --json start.json

Each row is a process of its own, beside `import torch` in processes of the same round, so that
the ratio holds on a machine that is busy, too. `import typer` is what no mistake can do without. A
command that restores or trains is followed up to the moment at which it has all it needs and would
begin to compute; the others run to their end.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

IMPORT_TORCH = "import torch"
# what begins the computing of a command; reaching it ends the run
BEGINNINGS = {
    "inpaint image.png --mask box": ("paecli.restoration.files", "restore_files"),
    "denoise image.png --noise 0.1": ("paecli.restoration.files", "restore_files"),
    "eval": ("paecli.evaluation.evaluate", "load_for_model"),
    "train-ae fmnist-mini": ("paecli.training.autoencoder", "read_data"),
    "demo --out shown": ("paecli.demo", "run_demo"),
}
COMMANDS = (
    "--help",
    "sample --help",
    "info",
    "info --json",
    "doctor --registry bundled",
    "download --list",
    "download fmnist-32",
    "sample -n 16 --out samples",
    "ood image.png",
    "inpaint image.png --mask box",
    "denoise image.png --noise 0.1",
    "interpolate image.png image.png --steps 3",
    "eval",
    "train-ae fmnist-mini",
    "demo --out shown",
    "publish fmnist-32 --to registry --replace",
    "sample nomodel",
    "ood nowhere.png",
    "inpaint image.png --mask bocks",
    "eval --dataset nosuchset",
    "train-ae nosuchset",
    "train-flow nowhere",
)
PYTHON = {
    IMPORT_TORCH: IMPORT_TORCH,
    "import typer": "import typer",
    "python: load('fmnist-32')": "from paecli import load; load('fmnist-32')",
}
RUN = """
import atexit, importlib, json, os, sys
def tell():
    heavy = [name for name in {heavy} if name in sys.modules]
    with open("modules.json", "w") as file:
        json.dump([len(sys.modules), heavy], file)
atexit.register(tell)
beginning = {beginning}
if beginning:  # the command would import that module anyhow
    setattr(importlib.import_module(beginning[0]), beginning[1], lambda *a, **k: sys.exit(0))
sys.argv = ["pae", *{arguments}]
{code}
"""
HEAVY = (
    "torch", "torchvision", "numpy", "scipy.stats", "sklearn", "matplotlib", "accelerate",
    "huggingface_hub", "FrEIA", "rich.console", "sympy", "torch._dynamo",
)  # fmt: skip


@dataclass(frozen=True)
class Start:
    """One row: the median processor time of some runs."""

    command: str
    seconds: float
    ratio: float
    modules: int
    heavy: list[str]


def main() -> None:
    options = parse()
    names = [*PYTHON, *COMMANDS]
    if options.only:
        names = [IMPORT_TORCH, *(name for name in names if options.only in name)]
    with tempfile.TemporaryDirectory() as folder:
        Image.new("L", (28, 28), 90).save(Path(folder) / "image.png")
        seconds: dict[str, list[float]] = {name: [] for name in names}
        loaded = {}
        for _ in range(options.runs):
            for name in names:
                seconds[name].append(run(name, Path(folder)))
                loaded[name] = json.loads((Path(folder) / "modules.json").read_text())
    rows = [row(name, seconds, loaded) for name in names]
    for each in rows:
        torch = "torch" if "torch" in each.heavy else "-"
        others = " ".join(name for name in each.heavy if name not in ("torch", "numpy"))
        print(
            f"{each.command:44} {each.seconds:6.2f} s {each.ratio:5.2f} {each.modules:5} "
            f"{torch:6} {others}"
        )
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in rows], indent=1))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", help="rows whose name has this in it")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    return parser.parse_args()


def row(
    name: str, seconds: dict[str, list[float]], loaded: dict[str, tuple[int, list[str]]]
) -> Start:
    """Compares a command with `import torch`, round by round."""
    ratios = [own / torch for own, torch in zip(seconds[name], seconds[IMPORT_TORCH], strict=True)]
    modules, heavy = loaded[name]
    return Start(name, statistics.median(seconds[name]), statistics.median(ratios), modules, heavy)


def run(name: str, folder: Path) -> float:
    """Runs one row in a process of its own; returns its processor time in seconds."""
    arguments = [] if name in PYTHON else name.split()
    code = PYTHON.get(name, "from paecli.__main__ import main\nmain()")
    script = RUN.format(heavy=HEAVY, beginning=BEGINNINGS.get(name), arguments=arguments, code=code)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if b"Traceback" in ended.stderr:  # a command that crashes would look quick
        raise RuntimeError(f"{name}: {ended.stderr.decode()[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _environment() -> dict[str, str]:
    """Returns what a user's shell has: compiled modules are kept from one start to the next."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


if __name__ == "__main__":
    main()
