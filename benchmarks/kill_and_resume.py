"""Kills a training run with SIGKILL again and again, resumes it, and compares the weights.

    python benchmarks/kill_and_resume.py [--kills 20]

The run is `pae train-ae mnist-mini` on a small network. It is killed at a random moment after
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
LONGEST_LIFE = 1.5  # seconds from the first sign of life to the kill


def command(folder: Path, run: str, *, resume: bool) -> list[str]:
    words = [sys.executable, "-m", "paecli", "train-ae", "mnist-mini", "--out", str(folder / run)]
    return [*words, "--resume"] if resume else [*words, "--config", str(folder / "config.yaml")]


def kill_once(folder: Path, run: str, *, resume: bool, draws: random.Random) -> bool:
    """Starts or resumes the run and kills it; returns whether it was still running."""
    state = state_file(folder / run, "autoencoder")
    before = state.stat().st_mtime_ns if state.exists() else 0
    process = subprocess.Popen(command(folder, run, resume=resume), stderr=subprocess.DEVNULL)
    while process.poll() is None and (not state.exists() or state.stat().st_mtime_ns == before):
        time.sleep(0.005)
    time.sleep(draws.uniform(0, LONGEST_LIFE))
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draws = random.Random(arguments.seed)
    folder = Path(tempfile.mkdtemp())
    (folder / "config.yaml").write_text(CONFIG)
    started = time.perf_counter()
    kills = sum(
        kill_once(folder, "killed", resume=attempt > 0, draws=draws)
        for attempt in range(arguments.kills)
    )
    killed, whole = folder / "killed", folder / "whole"
    left = sorted(path.name for path in killed.iterdir() if path.name.startswith(".tmp-"))
    if state_file(killed, "autoencoder").exists():
        subprocess.run(command(folder, "killed", resume=True), check=True)
    subprocess.run(command(folder, "whole", resume=False), check=True)
    hashes = [
        read_header(run / "autoencoder.safetensors").autoencoder_hash for run in (killed, whole)
    ]
    print(f"{kills} kills in {time.perf_counter() - started:.0f} s; temporary files left: {left}")
    print(f"undisturbed {hashes[1]}\nkilled      {hashes[0]}")
    print("equal" if hashes[0] == hashes[1] else "DIFFERENT")
    shutil.rmtree(folder)
    sys.exit(hashes[0] != hashes[1])


if __name__ == "__main__":
    main()
