"""The highest memory of each command on a folder of images, and on one three times as large.

    python benchmarks/memory.py [--images 1000]

Images are 64 x 64, RGB: 12 kB as they are kept, 49 kB as floats. A command whose memory grows
by the floats holds a whole set of them at once; the last column is that growth in kB an image.
Models are small, so that what images take is seen. Linux only.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from forks import finish

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PEAK = "5"  # what resets the highest resident size
SIDE, TIMES = 64, 3
CONFIG = """
autoencoder:
  network: mlp
  network_options: {width: 16, blocks: 1}
  latent_size: 4
  optimiser: {epochs: 1, precision: fp32}
flow:
  blocks: 2
  flow_options: {width: 16}
  optimiser: {epochs: 1, precision: fp32}
"""


def write_images(folder: Path, count: int) -> None:
    """Writes smooth pictures of two blobs each."""
    draws = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    folder.mkdir()
    for number in range(count):
        centre, colour = draws.uniform(16, 48, (2, 2)), draws.uniform(50, 255, (2, 3))
        blobs = [np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / 200) for r, c in centre]
        pixels = sum(blob[..., None] * each for blob, each in zip(blobs, colour, strict=True))
        picture = np.clip(pixels, 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{number:05}.png", compress_level=1)


def peak(words: list[str], log: Path) -> int:
    """Runs a command; returns by how many kB its resident size rose at most."""
    told = log.with_suffix(".peak")

    def measure() -> None:
        told.write_text(str(_kilobytes("VmHWM") - before))

    before = _kilobytes("VmRSS")
    CLEAR.write_text(PEAK)
    finish(words, log, at_end=measure)
    return int(told.read_text())


def _kilobytes(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


def commands(folder: Path, images: Path, few: Path) -> dict[str, list[str]]:
    """Returns every command that reads or makes many images; the first two train the model."""
    run, out = str(folder / f"run-{images.name}"), str(folder / f"out-{images.name}")
    count = str(len(list(images.iterdir())))
    quick = ["--method", "laplace", "--samples", "8", "--starts", "8", "--resize"]
    return {
        "train-ae": ["train-ae", str(images), "--config", str(folder / "c.yaml"), "--out", run],
        "train-flow": ["train-flow", run, "--config", str(folder / "c.yaml")],
        "train-flow --measure-only": ["train-flow", run, "--measure-only"],
        "eval": ["eval", run],
        "ood IMAGES": ["ood", run, str(images)],
        "ood IMAGES --maps": ["ood", run, str(images), "--maps", f"{out}-maps"],
        "ood --against": ["ood", run, "--against", "hflip"],
        "recalibrate": ["recalibrate", run, str(images), "--out", f"{out}-new"],
        "sample --files": ["sample", run, "-n", count, "--files", "--out", out],
        "inpaint FOLDER": ["inpaint", str(few), "--mask", "left", "-m", run, "--out", out, *quick],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--restored", type=int, default=20, help="images of a folder to restore")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["PAE_CACHE"] = str(folder / "cache")
        (folder / "c.yaml").write_text(CONFIG)
        counts = [(n * arguments.images, n * arguments.restored) for n in (1, TIMES)]
        peaks = []
        for many, few in counts:
            write_images(folder / str(many), many)
            write_images(folder / f"few-{many}", few)
            chosen = commands(folder, folder / str(many), folder / f"few-{many}")
            peaks.append({name: peak(words, folder / "log") for name, words in chosen.items()})
        for name, before in peaks[0].items():
            place = name == "inpaint FOLDER"
            growth = (peaks[1][name] - before) / (counts[1][place] - counts[0][place])
            print(
                f"{name}: {before / 1000:.0f} MB for {counts[0][place]:,} images, "
                f"{peaks[1][name] / 1000:.0f} MB for {counts[1][place]:,}; "
                f"{growth:.1f} kB an image",
                flush=True,
            )


if __name__ == "__main__":
    main()
