"""Measures `pae watch` and `pae recalibrate`: drift, false alarms, rates, kills and waiting times.

    python benchmarks/watching.py drift --images held-out      # what choices are made on
    python benchmarks/watching.py drift --images test          # what is reported
    python benchmarks/watching.py drift --before 0             # changed from the first image on
    python benchmarks/watching.py quiet
    python benchmarks/watching.py recalibrate
    python benchmarks/watching.py kills
    python benchmarks/watching.py latency

`drift`, `quiet` and `recalibrate` score each image once and draw streams from the scores, which
`--cache FOLDER` keeps. Draws are independent, with replacement where a stream is longer than the
set: then the images of a stream are exchangeable by construction, and equal scores, which
replacement makes, are told apart at random by the p-values. What this cannot show is a folder whose
images do not come in random order. `kills` and `latency` run the command itself.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from paecli.api import load
from paecli.data import hold_out, load_dataset, write_image
from paecli.model.requirements import PIXEL_STATISTICS
from paecli.outliers.conformal import p_values
from paecli.outliers.drift import DriftDetector
from paecli.outliers.pixel_statistics import pixel_statistics
from paecli.outliers.scores import measure_scores
from paecli.watching.watch import DRIFT_SCORES, TOLERANCE, WatchSettings, usual_values

MODELS = {"fmnist-32": "fmnist", "fmnist-64": "fmnist", "mnist-8": "mnist"}
RATE = 0.05
AFTER = 300
NAMES = (*DRIFT_SCORES, *PIXEL_STATISTICS)
DEFAULTS = WatchSettings("combined")

Values = dict[str, np.ndarray]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--model", choices=MODELS, nargs="*", default=[*MODELS])
    parser.add_argument("--images", choices=("held-out", "test"), default="test")
    parser.add_argument("--limit", type=int, default=5_000, help="images that are scored")
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--before", type=int, default=500, help="images before the change")
    parser.add_argument("--length", type=int, default=10_000, help="images of a quiet stream")
    parser.add_argument("--cache", type=Path, help="folder to keep scores in")
    parser.add_argument("--count", type=int, default=200, help="files of kills and latency")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    return PARTS[options.part](options)


def brighter(x: Tensor) -> Tensor:
    return (1.05 * x).clamp_max(1)


def blurred(x: Tensor) -> Tensor:
    """A blur of one pixel: 1 2 1 in both directions."""
    line = torch.tensor([1.0, 2.0, 1.0]) / 4
    kernel = (line[:, None] * line).expand(x.shape[1], 1, 3, 3)
    return functional.conv2d(
        functional.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=x.shape[1]
    )


def cropped(x: Tensor) -> Tensor:
    """All but the outermost pixels, scaled up."""
    return functional.interpolate(x[..., 1:-1, 1:-1], size=x.shape[-2:], mode="bilinear").clamp(
        0, 1
    )


CHANGES = {"brightness + 5 %": brighter, "blur of one pixel": blurred, "crop of 26 of 28": cropped}


def images_of(model: str, options: argparse.Namespace) -> Tensor:
    data = load_dataset(MODELS[model], data_dir=options.data_dir)
    if options.images == "test":
        return data.test.images[: options.limit]
    return hold_out(data.train, fraction=1 / 12, seed=0, by="position")[1].images[: options.limit]


def measure(model: str, change: str | None, options: argparse.Namespace) -> Values:
    """Scores images as `pae watch` does, which reads them from files of 8 bits."""
    label = (change or "none").replace(" ", "_")
    file = options.cache and options.cache / f"{model}-{options.images}-{options.limit}-{label}.npz"
    if file and file.exists():
        return dict(np.load(file))
    x = images_of(model, options).float() / 255
    if change is not None:
        x = (CHANGES[change](x) * 255).round() / 255
    values = measure_scores(load(model), x, DRIFT_SCORES) | pixel_statistics(x)
    rows = {name: values[name].double().numpy() for name in NAMES}
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **rows)
    return rows


def reference_of(model: str) -> dict[str, list[float]]:
    known = usual_values(load(model))
    return {name: known[name].tolist() for name in NAMES}


def detector_of(reference: dict[str, list[float]], seed: int) -> DriftDetector:
    """What `pae watch` makes by its defaults."""
    return DriftDetector(
        reference,
        tolerance=TOLERANCE,
        false_alarm=DEFAULTS.false_alarm,
        baseline=DEFAULTS.baseline,
        seed=seed,
    )


def drift(options: argparse.Namespace) -> int:
    """Streams that change after some images: how many alarm within 300, and by what."""
    failed = 0
    for model in options.model:
        reference, usual = reference_of(model), measure(model, None, options)
        count = len(usual[NAMES[0]])
        print(f"{model}, {count:,} {options.images} images, {options.before} before", flush=True)
        for change in CHANGES:
            changed = measure(model, change, options)
            found, told, early = [], Counter(), 0
            for stream in range(options.streams):
                order = np.random.default_rng(stream).permutation(count)[: options.before + AFTER]
                before, after = np.split(order, [options.before])
                rows = {n: np.concatenate((usual[n][before], changed[n][after])) for n in NAMES}
                detector = alarm_in(rows, detector_of(reference, stream))
                if detector.alarm is not None and detector.alarm <= options.before:
                    early += 1
                elif detector.alarm is not None:
                    found.append(detector.alarm - options.before)
                    told[detector.score] += 1
            failed += len(found) < 0.95 * options.streams
            within = np.quantile(found or [np.nan], (0.5, 0.95))
            print(
                f"  {change}: {len(found)} of {options.streams} alarm, {early} too early; median "
                f"{within[0]:.0f}, 95 % within {within[1]:.0f}; {dict(told)}",
                flush=True,
            )
    return failed


def alarm_in(rows: Values, detector: DriftDetector) -> DriftDetector:
    """Shows a stream to a detector until it raises the alarm."""
    for values in zip(*(rows[name].tolist() for name in NAMES), strict=True):
        if detector.add(dict(zip(NAMES, values, strict=True))):
            break
    return detector


def quiet(options: argparse.Namespace) -> int:
    """Streams without a change: how many alarm."""
    failed = 0
    for model in options.model:
        reference, usual = reference_of(model), measure(model, None, options)
        count = len(usual[NAMES[0]])
        told, ends = Counter(), []
        for stream in range(options.streams):
            chosen = np.random.default_rng(1000 + stream).integers(count, size=options.length)
            detector = detector_of(reference, stream)
            alarm_in({name: usual[name][chosen] for name in NAMES}, detector)
            ends.append(detector.evidence / np.log(10))
            if detector.alarm is not None:
                told[detector.alarm, detector.score, detector.from_start] += 1
        print(
            f"{model}: {told.total()} of {options.streams} streams of {options.length:,} from "
            f"{count:,} images alarm {dict(told) or ''}; the largest evidence at the end, 0 being "
            f"the alarm: "
            f"{', '.join(f'{each:.1f}' for each in sorted(ends)[:-4:-1])}",
            flush=True,
        )
        failed += told.total() > options.streams // 100
    return failed


def recalibrate(options: argparse.Namespace) -> int:
    """The rate at .05 under new conditions, before and after 500 images of them are known."""
    failed = 0
    for model in options.model:
        own = load(model).require_reference_scores("combined")
        for change in (None, *CHANGES):
            scores = torch.from_numpy(measure(model, change, options)["combined"]).float()
            before = (p_values(scores, own) <= RATE).double().mean().item()
            rates = []
            for draw in range(options.streams):
                order = torch.randperm(len(scores), generator=torch.Generator().manual_seed(draw))
                known, fresh = scores[order[:500]].sort().values, scores[order[500:]]
                rates.append((p_values(fresh, known) <= RATE).double().mean().item())
            close = np.mean(np.abs(np.array(rates) - RATE) <= 0.01)
            failed += abs(np.mean(rates) - RATE) > 0.01
            print(
                f"{model}, {change or 'no change'}: {before:.4f} before; after, mean of "
                f"{options.streams} draws {np.mean(rates):.4f}, standard deviation "
                f"{np.std(rates):.4f}, from {min(rates):.3f} to {max(rates):.3f}, "
                f"{close:.0%} within .01",
                flush=True,
            )
    return failed


def started(folder: Path, answers: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "paecli", "watch", str(folder), "--jsonl", str(answers)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)


def lines_in(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def wait_for(answers: Path, count: int, watching: subprocess.Popen[bytes]) -> None:
    while lines_in(answers) < count:
        if watching.poll() is not None:
            raise RuntimeError(f"pae watch ended with {watching.returncode}")
        time.sleep(0.002)


def kills(options: argparse.Namespace) -> int:
    """Ends the command by SIGKILL at random moments while files come, go and get new names."""
    draws = random.Random(0)
    images = images_of("fmnist-32", options)
    with tempfile.TemporaryDirectory() as name:
        folder, answers = Path(name) / "incoming", Path(name) / "answers.jsonl"
        folder.mkdir()
        shares = np.array_split(np.arange(options.count), options.kills + 1)
        renamed = deleted = cut = 0
        for number, share in enumerate(shares):
            for index in share.tolist():
                write_image(folder / f"{index:05}.png", images[index].float() / 255)
            watching = started(folder, answers)
            last = number == len(shares) - 1
            wanted = int(share[-1]) + 1 if last else int(draws.choice(share.tolist()))
            wait_for(answers, wanted, watching)
            time.sleep(0 if last else draws.random() * 0.05)
            watching.send_signal(signal.SIGTERM if last else signal.SIGKILL)
            watching.wait()
            cut += bool(answers.read_bytes().rpartition(b"\n")[2])
            done = sorted({Path(each["path"]).name for each in answered(answers)})
            for each in draws.sample(done, min(3, len(done))):
                file = folder / each
                if file.exists() and draws.random() < 0.5:
                    file.rename(folder / f"again-{each}")
                    renamed += 1
                elif file.exists():
                    file.unlink()
                    deleted += 1
        found = Counter(Path(each["path"]).name for each in answered(answers))
    lost = [index for index in range(options.count) if f"{index:05}.png" not in found]
    twice = [each for each, count in found.items() if count > 1 or each.startswith("again")]
    print(
        f"{options.kills} kills, {options.count} images, {renamed} renamed and {deleted} deleted "
        f"after their answer, {cut} half lines: {len(lost)} lost, {len(twice)} answered twice"
    )
    return len(lost) + len(twice)


def answered(file: Path) -> list[dict[str, object]]:
    whole, _, _ = file.read_bytes().rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()]


def latency(options: argparse.Namespace) -> int:
    """Time from a file that is whole to its answer on the disk, one file at a time."""
    images = images_of("fmnist-32", options)
    with tempfile.TemporaryDirectory() as name:
        folder, answers = Path(name) / "incoming", Path(name) / "answers.jsonl"
        folder.mkdir()
        watching = started(folder, answers)
        seconds = []
        for index in range(options.count + 10):
            write_image(folder / f"{index:05}.png", images[index].float() / 255)
            began = time.perf_counter()
            wait_for(answers, index + 1, watching)
            seconds.append(time.perf_counter() - began)
            if index == 9:  # warm
                used = processor_seconds(watching.pid)
            time.sleep(0.05)
        used = processor_seconds(watching.pid) - used
        watching.send_signal(signal.SIGTERM)
        watching.wait()
    warm = 1000 * np.array(seconds[10:])
    print(
        f"{options.count} files, one at a time: shortest {warm.min():.0f} ms, median "
        f"{np.median(warm):.0f} ms, 95 % within {np.quantile(warm, 0.95):.0f} ms; "
        f"{1000 * used / options.count:.1f} ms of processor time a file, waiting included; "
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    return int(np.median(warm) > 100)


def processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


PARTS = {
    "drift": drift,
    "quiet": quiet,
    "recalibrate": recalibrate,
    "kills": kills,
    "latency": latency,
}


if __name__ == "__main__":
    raise SystemExit(main())
