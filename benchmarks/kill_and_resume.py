"""Kills training runs with SIGKILL, resumes them, and compares every tensor to the bit.

    python benchmarks/kill_and_resume.py [--kills 20]
    python benchmarks/kill_and_resume.py --presets [NAME ...] [--kills 1] [--images 40] [--flows]

A run is `pae train-ae` on bundled images: of a small network, or by presets, whose
convolutions keep their weights in another order of memory, on a folder of few. It is killed at a
random moment after a saved epoch, resumed with `--resume`, and at the end may finish. The tensors
of its file must equal those of a run that nobody disturbed. With `--flows` stage 2 is killed as
well. Networks and optimisers that no preset has come along. Commands run in forks of this process,
which has torch loaded: a start would cost more than such a training.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from forks import finish, start
from paecli.data import load_dataset, write_image
from paecli.training.run_folder import RESULTS, state_file
from paecli.training.settings import PATCHES, preset_names

SMALL = """
autoencoder:
  network: mlp
  network_options: {width: 128, blocks: 1, dropout: 0.1}
  latent_size: 8
  augment: {shift: 1}
  optimiser: {method: muon, epochs: 80, batch_size: 64, averaging: 0.99}
"""
# what no preset has: other networks, each with both optimisers
OTHERS = {
    f"{network}, {method}": ("--network", network, "--optimiser", method)
    for network in ("conv", "mlp")
    for method in ("adamw", "muon")
}
FEW = ("--epochs", "2", "--batch-size", "8")  # of a preset
TRIES = 5  # to kill a run before it ends


@dataclass(frozen=True)
class Job:
    """One stage of a training.

    Attributes:
        folder: where its runs are.
        stage: `autoencoder` or `flow`.
        data: a data set.
        options: what is trained.
        longest_life: seconds from the first sign of life to the kill.
    """

    folder: Path
    stage: str
    data: str
    options: tuple[str, ...]
    longest_life: float

    def command(self, run: str, *, resume: bool) -> list[str]:
        """Returns the words after `pae`; `--resume` takes its settings from the run."""
        options = ("--resume",) if resume else self.options
        if self.stage == "flow":
            return ["train-flow", str(self.folder / run), "--threads", "1", *options]
        place = ("--out", str(self.folder / run), "--threads", "1")
        return ["train-ae", self.data, *place, *options]

    def state(self, run: str) -> Path:
        """Returns the file that is there while the stage is not finished."""
        return state_file(self.folder / run, self.stage)

    def result(self, run: str) -> Path:
        """Returns the file that the stage ends with."""
        return self.folder / run / RESULTS[self.stage]


def kill_once(job: Job, *, resume: bool, draws: random.Random, log: Path) -> bool:
    """Starts or resumes the run and kills it after an epoch; tells whether it was still running."""
    state = job.state("killed")
    before = state.stat().st_mtime_ns if state.exists() else 0
    process, ended = start(job.command("killed", resume=resume), log), 0
    while not ended and (not state.exists() or state.stat().st_mtime_ns == before):
        time.sleep(0.002)
        ended, _ = os.waitpid(process, os.WNOHANG)
    time.sleep(draws.uniform(0, job.longest_life))
    if not ended:
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
    return not ended and os.WIFSIGNALED(status)


def kill_often(job: Job, kills: int, draws: random.Random, log: Path) -> int:
    """Kills a run so often, or until it has ended; returns how often it was killed."""
    for _ in range(TRIES):
        done = 0
        while done < kills and (done == 0 or job.state("killed").exists()):
            resume = job.state("killed").exists()
            if not kill_once(job, resume=resume, draws=draws, log=log):
                break
            done += 1
        if done:
            return done
        if job.stage == "flow":
            job.result("killed").unlink()
        else:
            shutil.rmtree(job.folder / "killed")
    raise RuntimeError(f"{job.options}: it always ended before it was killed")


def differing_tensors(first: Path, second: Path) -> tuple[int, int]:
    """Returns how many tensors of two files differ in any bit, and how many there are."""
    ours, theirs = load_file(first), load_file(second)
    if ours.keys() != theirs.keys():
        raise RuntimeError(f"{first} and {second} hold different tensors")
    pairs = [(ours[name], theirs[name]) for name in ours]
    return sum(not _same_bits(*pair) for pair in pairs), len(pairs)


def _same_bits(first: torch.Tensor, second: torch.Tensor) -> bool:
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    bits = [each.contiguous().reshape(-1).view(torch.uint8) for each in (first, second)]
    return torch.equal(*bits)


def is_unharmed(name: str, job: Job, kills: int, draws: random.Random) -> bool:
    """Kills a run, lets it end, and compares it with one that nobody disturbed."""
    started, log = time.perf_counter(), job.folder / "log.txt"
    done = kill_often(job, kills, draws, log)
    left = [path.name for path in (job.folder / "killed").iterdir() if ".tmp-" in path.name]
    if job.state("killed").exists():
        finish(job.command("killed", resume=True), log)
    if job.stage == "flow":  # both from one stage 1, to compare this stage alone
        shutil.copy(job.folder / "killed" / RESULTS["autoencoder"], job.folder / "whole")
    finish(job.command("whole", resume=False), log)
    differ, count = differing_tensors(job.result("killed"), job.result("whole"))
    print(
        f"{name}, {job.stage}: {done} kill(s), {differ} of {count} tensors differ, "
        f"temporary files left after a kill: {len(left)}; {time.perf_counter() - started:.0f} s",
        flush=True,
    )
    return differ == 0


def jobs_of_presets(
    folder: Path, names: list[str], *, images: int, flows: bool
) -> list[tuple[str, Job]]:
    """Returns the stages to try: of the presets, or of all and of what none of them has."""
    chosen = {name: ("--preset", name) for name in names or preset_names() if name != PATCHES}
    jobs, data = [], folder / "images"
    for number, image in enumerate(load_dataset("mnist-mini").train.images[:images]):
        write_image(data / f"{number:03}.png", image)
    for name, options in (chosen if names else {**chosen, **OTHERS}).items():
        place = folder / name
        place.mkdir()
        jobs.append((name, Job(place, "autoencoder", str(data), (*options, *FEW), 0.1)))
        if flows:
            jobs.append((name, Job(place, "flow", str(data), FEW, 0.1)))
    return jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, help="of each run; default: 20, of a preset 1")
    parser.add_argument("--presets", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--images", type=int, default=40, help="of the folder")
    parser.add_argument("--flows", action="store_true", help="kill stage 2 of the presets, too")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draws, folder = random.Random(arguments.seed), Path(tempfile.mkdtemp())
    if arguments.presets is None:
        (folder / "config.yaml").write_text(SMALL)
        options = ("--config", str(folder / "config.yaml"))
        jobs, kills = (
            [("small", Job(folder, "autoencoder", "mnist-mini", options, 1.5))],
            arguments.kills or 20,
        )
    else:
        kills = arguments.kills or 1
        jobs = jobs_of_presets(
            folder, arguments.presets, images=arguments.images, flows=arguments.flows
        )
    unharmed = [is_unharmed(name, job, kills, draws) for name, job in jobs]
    print(f"{sum(unharmed)} of {len(unharmed)} runs equal an undisturbed one to the bit")
    shutil.rmtree(folder)
    sys.exit(not all(unharmed))


if __name__ == "__main__":
    main()
