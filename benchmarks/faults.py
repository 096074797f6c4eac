"""Full and read-only disks, jumping clocks, downloads at once: the soak behind docs/decisions.md.

    sudo python benchmarks/faults.py [disk] [readonly] [clock] [downloads]

Needs root for small file systems in memory (mount -t tmpfs), and Debian's package `faketime` for
the clock. Every failure must be a `PaeError` of one line; no temporary file may be left, every
file that has its name must be whole, and after the fault is gone the same command must end with
the weights that an undisturbed run has.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image
from safetensors import safe_open
from typer.testing import CliRunner

from paecli.cli.app import app
from paecli.store.checkpoint import read_header
from paecli.store.index import Entry, Index, IndexFile, index_to_yaml
from paecli.system.errors import PaeError

CONFIG = """
autoencoder:
  network: mlp
  network_options: {width: 32, blocks: 1}
  latent_size: 4
  data: {limit: 192}
  optimiser: {epochs: 3, batch_size: 32, precision: fp32, averaging: 0.9}
flow: {blocks: 2, flow_options: {width: 16}, optimiser: {epochs: 2, batch_size: 32}}
"""
SIZES_KB = (16, 100, 200, 300, 450, 600, 800, 1000, 1250, 1500, 1750, 2000, 2400, 2800)
ENOUGH = "64M"
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
JUMPS = ("+0", "+400d", "-9000d", "+1h", "-1s", "-40d")
PIECE, PIECES = 64 * 1024, 60  # bytes, and how many make the file that is downloaded


def pae(*arguments: object) -> str:
    """Runs a command in this process: `done`, or the one line that it ended with."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exit_code == 0:
        return "done"
    message = str(result.exception)
    if not isinstance(result.exception, PaeError) or "\n" in message:
        raise AssertionError(f"{arguments}: {result.exception!r}") from result.exception
    return message


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """Mounts a file system of that size in memory."""
    with tempfile.TemporaryDirectory() as name:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "pae", name], check=True)
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", name], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def check_whole(folder: Path) -> None:
    """Every file can be read, and none is a left-over."""
    for path in folder.rglob("*"):
        assert not path.name.startswith((".tmp-", ".staging-")), path
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                assert file.keys()
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.load()


def weights(run: Path) -> tuple[str, str]:
    model = run / "model.safetensors"
    return read_header(model).autoencoder_hash, hashlib.sha256(model.read_bytes()).hexdigest()


def train(config: Path, run: Path) -> list[str]:
    """Both stages, going on with what an earlier call has left; the answers of the commands."""
    answers = []
    if not (run / "autoencoder.safetensors").exists():
        resume = (run / "autoencoder-state.safetensors").exists()
        options = ["--resume"] if resume else ["--config", config]
        answers.append(pae("train-ae", "mnist-mini", "--out", run, "--device", "cpu", *options))
        if answers[-1] != "done":
            return answers
    resume = (run / "flow-state.safetensors").exists()
    options = ["--resume"] if resume else []
    answers.append(pae("train-flow", run, "--device", "cpu", *options))
    return answers


def disk_full(folder: Path) -> str:
    config = folder / "config.yaml"
    train(config, folder / "whole")
    whole, failures = weights(folder / "whole"), Counter[str]()
    for size in SIZES_KB:
        with small_disk(f"{size}k") as disk:
            answers = train(config, disk / "run")
            failures[f"{len(answers)}: {answers[-1].split(';')[0].split(': ')[-1]}"] += 1
            check_whole(disk)
            remount(disk, f"size={ENOUGH}")
            for _ in range(2):  # the second call is for the second stage
                if not (disk / "run" / "model.safetensors").exists():
                    answers = train(config, disk / "run")
            assert answers[-1] == "done", answers
            assert weights(disk / "run") == whole
            check_whole(disk)
    return f"{len(SIZES_KB)} disks of {SIZES_KB[0]} to {SIZES_KB[-1]} kB: {dict(failures)}"


def read_only(folder: Path) -> str:
    with small_disk(ENOUGH) as disk:
        run, image = disk / "run", disk / "image.png"
        train(folder / "config.yaml", run)
        Image.new("L", (28, 28), 99).save(image)
        os.environ["PAE_CACHE"] = str(disk / "cache")
        before = sorted(disk.rglob("*"))
        remount(disk, "ro")
        with served(folder) as address:
            answers = {
                "train-ae": pae("train-ae", "mnist-mini", "--out", disk / "new"),
                "train-flow": pae("train-flow", run, "--overwrite"),
                "sample": pae("sample", run, "--out", disk / "samples"),
                "inpaint": pae("inpaint", image, "--model", run, "--mask", "left",
                               "--method", "laplace", "--out", disk / "restored"),
                "eval": pae("eval", run, "--report", disk / "report"),
                "publish": pae("publish", run, "--to", disk / "registry"),
                "download": pae("download", "large", "--registry", address),
            }  # fmt: skip
        reading = [pae("info", run), pae("ood", run, image), pae("doctor", "--registry", "bundled")]
        assert sorted(disk.rglob("*")) == before
        del os.environ["PAE_CACHE"]
    assert "done" not in answers.values(), answers
    assert reading == ["done"] * 3, reading
    for name, answer in answers.items():
        print(f"  {name}: {answer}")
    return f"{len(answers)} commands that write end in one line, {len(reading)} that read work"


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "paecli", *map(str, arguments)]


def under_a_jumping_clock(folder: Path, *arguments: object) -> int:
    """Runs a command whose clock is set to another time every 50 ms; returns how often."""
    stamp, jumps = folder / "clock", 0
    stamp.write_text("+0")
    environment = os.environ | {
        "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(stamp),
        "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    process = subprocess.Popen(
        command(*arguments), env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    while process.poll() is None:
        stamp.write_text(JUMPS[jumps % len(JUMPS)])
        jumps += 1
        time.sleep(0.05)
    assert process.returncode == 0, process.stderr and process.stderr.read()
    return jumps


def clock(folder: Path) -> str:
    if not FAKETIME.exists():
        return "not run: install Debian's package faketime"
    run, plain = folder / "jumping", folder / "steady"
    options = ["train-ae", "mnist-mini", "--config", folder / "config.yaml", "--device", "cpu"]
    jumps = under_a_jumping_clock(folder, *options, "--out", run)
    subprocess.run(command(*options, "--out", plain), check=True, stderr=subprocess.DEVNULL)
    hashes = {read_header(place / "autoencoder.safetensors").autoencoder_hash
              for place in (run, plain)}  # fmt: skip
    assert len(hashes) == 1
    os.environ["PAE_CACHE"] = str(folder / "clock-cache")
    with served(folder) as address:
        jumps += under_a_jumping_clock(folder, "download", "large", "--registry", address)
    for path in (folder / "clock-cache").rglob("*"):  # a cache from the future
        os.utime(path, (4e9, 4e9))
    assert pae("download", "large", "--registry", address, "--offline") == "done"
    assert pae("download", "--verify") == "done"
    return f"{jumps} jumps during a training and a download: same weights, whole file"


class SlowHandler(SimpleHTTPRequestHandler):
    """Serves a folder at some 3 MB/s."""

    requests: ClassVar[Counter[str]] = Counter()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        self.requests[self.path] += 1
        while piece := source.read(PIECE):
            outputfile.write(piece)
            time.sleep(0.02)

    def log_message(self, *arguments: object) -> None:
        pass


class QuietServer(ThreadingHTTPServer):
    """Says nothing of the clients that are killed on the way."""

    def handle_error(self, *arguments: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serves a registry with one file of some megabytes; yields its address."""
    place = folder / "registry"
    place.mkdir(exist_ok=True)
    content = random.Random(0).randbytes(PIECE * PIECES)
    (place / "large.bin").write_bytes(content)
    file = IndexFile(
        path="large.bin", size=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
    index = Index(entries=(Entry(name="large", kind="data", files=(file,)),))
    (place / "index.yaml").write_text(index_to_yaml(index))
    server = QuietServer(("127.0.0.1", 0), partial(SlowHandler, directory=str(place)))
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def downloads(folder: Path, rounds: int = 5, at_once: int = 3) -> str:
    draws, killed = random.Random(0), 0
    SlowHandler.requests.clear()
    with served(folder) as address:
        for number in range(rounds):
            environment = os.environ | {"PAE_CACHE": str(folder / f"cache-{number}")}
            running = [
                subprocess.Popen(
                    command("download", "large", "--registry", address), env=environment,
                    stderr=subprocess.DEVNULL,
                )
                for _ in range(at_once)
            ]  # fmt: skip
            part = folder / f"cache-{number}" / "partial"
            while not part.exists() and running[0].poll() is None:
                time.sleep(0.01)
            time.sleep(draws.uniform(0, 1))
            victim = draws.choice(running)
            victim.send_signal(signal.SIGKILL)
            codes = [process.wait() for process in running]
            killed += codes.count(-signal.SIGKILL)
            assert set(codes) <= {0, -signal.SIGKILL}, codes
            files = list((folder / f"cache-{number}" / "files").rglob("*.bin"))
            assert [path.read_bytes() for path in files] == [
                (folder / "registry" / "large.bin").read_bytes()
            ]
    fetched = SlowHandler.requests["/large.bin"]
    return (
        f"{rounds} rounds of {at_once} processes, {killed} killed on the way: every other one "
        f"succeeded, the file was asked for {fetched} times"
    )


PARTS: dict[str, Callable[[Path], str]] = {
    "disk": disk_full,
    "readonly": read_only,
    "clock": clock,
    "downloads": downloads,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.yaml").write_text(CONFIG)
        for part in arguments.parts or PARTS:
            started = time.perf_counter()
            answer = PARTS[part](folder)
            print(f"{part} ({time.perf_counter() - started:.0f} s): {answer}", flush=True)


if __name__ == "__main__":
    main()
