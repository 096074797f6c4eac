"""Kills a training run with SIGKILL again and again, resumes it, and compares the weights.

    python benchmarks/kill_and_resume.py [--kills 20]
    python benchmarks/kill_and_resume.py --presets [NAME ...] [--kills 3] [--limit 300]

The run is `pae train-ae` on bundled images: of a small network, or by presets, whose
convolutions keep their weights in another order of memory. It is killed at a random moment after
its first saved epoch, resumed with `--resume`, killed again, and so on; at the end it may
finish. The final weights must equal those of a run that nobody disturbed, to the bit.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from paecli.store.checkpoint import read_header
from paecli.training.run_folder import state_file

CONFIG = """
autoencoder:
  network: mlp
  network_options: {width: 128, blocks: 1, dropout: 0.1}
  latent_size: 8
  augment: {shift: 1}
  optimiser: {method: muon, epochs: 80, batch_size: 64, averaging: 0.99}
"""
# one of each network and objective
CONVOLUTIONAL = (
    "demo", "fmnist", "fmnist-32-vae", "fmnist-32-flow-vae", "fmnist-32-map", "paper-fmnist-32",
)  # fmt: skip
EPOCHS = 6  # of a preset: enough for a kill between two of them
LONGEST_LIFE = 1.5  # seconds from the first sign of life to the kill


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        folder: where its runs are.
        options: what is trained.
    """

    folder: Path
    options: tuple[str, ...]

    def command(self, run: str, *, resume: bool) -> list[str]:
        words = [sys.executable, "-m", "paecli", "train-ae", "--threads", "1"]
        words += ["--out", str(self.folder / run)]
        # --resume takes its settings from the run
        return [*words, self.options[0], *(["--resume"] if resume else self.options[1:])]


def kill_once(job: Job, run: str, *, resume: bool, draws: random.Random) -> bool:
    """Starts or resumes the run and kills it; returns whether it was still running."""
    state = state_file(job.folder / run, "autoencoder")
    before = state.stat().st_mtime_ns if state.exists() else 0
    process = subprocess.Popen(job.command(run, resume=resume), stderr=subprocess.DEVNULL)
    while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
        time.sleep(0.005)
    time.sleep(draws.uniform(0, LONGEST_LIFE))
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def is_unharmed(job: Job, kills: int, draws: random.Random) -> bool:
    """Kills a run so often, lets it end, and compares it with one that nobody disturbed."""
    started = time.perf_counter()
    killed, whole = job.folder / "killed", job.folder / "whole"
    done = 0
    for _ in range(kills):
        resume = state_file(killed, "autoencoder").exists()
        if done and not resume:
            break  # it ended before it was killed
        done += kill_once(job, "killed", resume=resume, draws=draws)
    left = sorted(path.name for path in killed.iterdir() if path.name.startswith(".tmp-"))
    quiet = {"check": True, "stderr": subprocess.DEVNULL}
    if state_file(killed, "autoencoder").exists():
        subprocess.run(job.command("killed", resume=True), **quiet)
    subprocess.run(job.command("whole", resume=False), **quiet)
    hashes = [
        read_header(run / "autoencoder.safetensors").autoencoder_hash for run in (killed, whole)
    ]
    equal = hashes[0] == hashes[1]
    verdict = "equal" if equal else "DIFFERENT"
    print(
        f"{done} kills in {time.perf_counter() - started:.0f} s; temporary files left: {left}; "
        f"undisturbed {hashes[1][:16]}, killed {hashes[0][:16]}: {verdict}",
        flush=True,
    )
    return equal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--presets", nargs="*", metavar="NAME", help="default: convolutional ones")
    parser.add_argument("--limit", type=int, default=300, help="images of a preset")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draws = random.Random(arguments.seed)
    folder = Path(tempfile.mkdtemp())
    if arguments.presets is None:
        (folder / "config.yaml").write_text(CONFIG)
        jobs = {"small": Job(folder, ("mnist-mini", "--config", str(folder / "config.yaml")))}
    else:
        few = ("--limit", str(arguments.limit), "--epochs", str(EPOCHS))
        jobs = {
            name: Job(folder / name, ("fmnist-mini", "--preset", name, *few))
            for name in arguments.presets or CONVOLUTIONAL
        }
    unharmed = []
    for name, job in jobs.items():
        print(f"{name}: ", end="", flush=True)
        unharmed.append(is_unharmed(job, arguments.kills, draws))
    shutil.rmtree(folder)
    sys.exit(not all(unharmed))


if __name__ == "__main__":
    main()
