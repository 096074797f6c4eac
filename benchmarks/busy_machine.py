"""How much slower everything gets on a machine that does other things too.

    python benchmarks/busy_machine.py [--jobs train-ae,restore-one] [--ways auto,one] [--loads 0,2]

Runs each job beside no, one and two endless loops, with the number of threads chosen by `pae` and
in the ways that one could fix it, one after the other, and prints seconds, the ratio to the same
way alone, and the ratio to the best way under the same load. Ratios are what to quote: the seconds
of a shared machine drift. The goals on two cores: at most 1.6 times the idle time beside one busy
process, at most 2.5 beside two, and alone no slower than the best way. `spinning` beside two loops
takes many times as long as all others together.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from paecli.data import load_dataset, write_image
from paecli.system.cores import available_cores

CORES = str(available_cores())
WAYS = {  # environment and options
    "auto": ({}, []),
    "spinning": ({"OMP_WAIT_POLICY": "", "GOMP_SPINCOUNT": "300000"}, ["--threads", CORES]),
    "sleeping": ({"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}, ["--threads", CORES]),
    "one": ({}, ["--threads", "1"]),
}
SCORING = (
    "import sys, paecli; paecli.use_threads(*map(int, sys.argv[2:])); import torch; "
    "images = torch.randint(0, 256, (10000, 1, 28, 28), dtype=torch.uint8); "
    "paecli.load('fmnist-32').p_value(images)"
)
PAE = [sys.executable, "-m", "paecli"]
TRAINING = ["train-ae", "fmnist-mini", "--preset", "demo"]


def prepare(folder: Path) -> None:
    """Writes the images to restore, and a trained autoencoder for the flow."""
    images = load_dataset("fmnist-mini").test.images[:24]
    for index, image in enumerate(images):
        write_image(folder / "images" / f"{index:02}.png", image.float() / 255)
    command = [*PAE, *TRAINING, "--epochs", "1"]
    subprocess.run([*command, "--out", "stage1"], cwd=folder, check=True, capture_output=True)


def command_of(job: str, options: Sequence[str]) -> list[str]:
    commands = {
        "demo": ["demo", "--out", "out"],
        "train-ae": [*TRAINING, "--epochs", "3", "--out", "out", "--overwrite"],
        "train-flow": ["train-flow", "out", "--epochs", "5", "--overwrite"],
        "restore-one": ["inpaint", "images/00.png", "--mask", "box", "--out", "out"],
        "restore-24": ["inpaint", "images", "--mask", "box", "--out", "out"],
    }
    if job == "score-10000":
        return [sys.executable, "-c", SCORING, *options]
    return [*PAE, *commands[job], *options]


Seconds = dict[tuple[str, int], float]  # by way and load
JOBS = ("demo", "train-ae", "train-flow", "score-10000", "restore-one", "restore-24")


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Keeps so many cores busy."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for each in running:
            each.kill()
            each.wait()


def seconds_of(job: str, way: str, loops: int, folder: Path) -> float:
    environment, options = WAYS[way]
    shutil.rmtree(folder / "out", ignore_errors=True)
    if job == "train-flow":
        shutil.copytree(folder / "stage1", folder / "out")
    unset = {"OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "PAE_THREADS"}
    clean = {name: value for name, value in os.environ.items() if name not in unset}
    with busy(loops):
        start = time.perf_counter()
        subprocess.run(
            command_of(job, options), cwd=folder, env=clean | environment, check=True,
            capture_output=True,
        )  # fmt: skip
        return time.perf_counter() - start


def report(
    job: str, found: dict[tuple[str, int], float], ways: list[str], loads: list[int]
) -> None:
    for loops in loads:
        best = min(found[way, loops] for way in ways)
        for way in ways:
            seconds = found[way, loops]
            alone = f"{seconds / found[way, loads[0]]:5.2f}"
            print(
                f"{job:12} beside {loops}  {way:9} {seconds:8.1f} s  {alone} of alone  "
                f"{seconds / best:5.2f} of the best way",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", default=",".join(JOBS))
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--loads", default="0,1,2")
    chosen = parser.parse_args()
    jobs, ways = chosen.jobs.split(","), chosen.ways.split(",")
    loads = [int(each) for each in chosen.loads.split(",")]
    print(f"{platform.processor() or platform.machine()}, {CORES} cores, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for job in jobs:
            runs = [(way, loops) for loops in loads for way in ways]
            report(job, {run: seconds_of(job, *run, folder) for run in runs}, ways, loads)


if __name__ == "__main__":
    main()
