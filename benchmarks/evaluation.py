"""Checks the figures of `pae eval` against other software and against expectation.

    python benchmarks/evaluation.py parity --images 300
    python benchmarks/evaluation.py ranking MODEL --data-dir DATA

`parity` compares the FID over all 2,048 features with `python -m pytorch_fid` on the same
images and the same (random) weights, which a registry on this machine serves. It needs SciPy
below 1.18, from which what pytorch-fid calls is gone. `ranking` prints the distance of training
images, samples, reconstructions, decoded N(0, I) and noise to the test images by the bundled
classifier, with the seconds it took.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch
from PIL import Image
from pytorch_fid import inception
from torch import Tensor, nn

from paecli.data import load_dataset
from paecli.data.images.files import read_images
from paecli.data.images.listing import find_images
from paecli.data.images.pixels import to_bytes
from paecli.evaluation.features.network import FeatureNetwork, to_8_bit
from paecli.evaluation.features.opening import INCEPTION_ENTRY, open_feature_network
from paecli.evaluation.fid import frechet_distance, gaussian_statistics
from paecli.evaluation.kid import kernel_distance
from paecli.store.index import INDEX_FILE, Entry, Index, IndexFile, index_to_yaml
from paecli.store.runs import load_with_header
from paecli.system.files import hash_file

GREY = (1, 28, 28)
WEIGHT_FILE = "pt_inception-2015-12-05-6726825d.pth"  # what pytorch-fid looks for in its cache


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    parity = commands.add_parser("parity")
    parity.add_argument("--images", type=int, default=200)
    parity.set_defaults(run=compare_with_pytorch_fid)
    ranking = commands.add_parser("ranking")
    ranking.add_argument("model", nargs="?")
    ranking.add_argument("--data-dir", type=Path)
    ranking.add_argument("--samples", type=int, default=10_000)
    ranking.set_defaults(run=rank)
    arguments = parser.parse_args()
    print(json.dumps(arguments.run(arguments), indent=2))


def compare_with_pytorch_fid(arguments: argparse.Namespace) -> dict[str, float]:
    """Computes one FID of two folders of PNG files twice, by pytorch-fid and by pae."""
    data = load_dataset("fmnist-mini")
    sets = {
        "train": data.train.images[: arguments.images],
        "inverted": 255 - data.test.images[: arguments.images],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = write_random_weights(folder / "hub" / "checkpoints" / WEIGHT_FILE)
        os.environ["PAE_CACHE"] = str(folder / "cache")
        for label, images in sets.items():
            save_images(images, folder / label)
        start = time.perf_counter()
        theirs = run_pytorch_fid(folder, *sets)
        middle = time.perf_counter()
        with serving(weights) as address:
            os.environ["PAE_REGISTRY"] = address
            network = open_feature_network("inception", image_shape=GREY)
        features = (run(network, read_folder(folder / label)) for label in sets)
        ours = frechet_distance(*map(gaussian_statistics, features))
        end = time.perf_counter()
    return {
        "images": arguments.images,
        "pytorch_fid": theirs,
        "pae": ours,
        "relative_difference": abs(ours - theirs) / theirs,
        "pytorch_fid_seconds": round(middle - start, 1),
        "pae_seconds": round(end - middle, 1),
    }


def write_random_weights(path: Path) -> Path:
    """Writes the 566 entries of the published file with Kaiming-initialised values."""
    torch.manual_seed(0)
    load, download = nn.Module.load_state_dict, inception.load_state_dict_from_url
    # pytorch-fid's own network, kept from loading anything
    nn.Module.load_state_dict = lambda *_, **__: None
    inception.load_state_dict_from_url = lambda *_, **__: {}
    network = inception.fid_inception_v3()
    nn.Module.load_state_dict, inception.load_state_dict_from_url = load, download
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    path.parent.mkdir(parents=True)
    torch.save(network.state_dict(), path)
    return path


@contextmanager
def serving(weights: Path) -> Iterator[str]:
    """Serves a weight file as a registry on this machine; yields its address."""
    file = IndexFile(path=weights.name, size=weights.stat().st_size, sha256=hash_file(weights))
    entry = Entry(name=INCEPTION_ENTRY, kind="features", files=(file,))
    (weights.parent / INDEX_FILE).write_text(index_to_yaml(Index(entries=(entry,))))
    handler = partial(SimpleHTTPRequestHandler, directory=str(weights.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def save_images(images: Tensor, folder: Path) -> None:
    folder.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image[0].numpy()).save(folder / f"{index:05}.png")


def read_folder(folder: Path) -> Tensor:
    files, _ = read_images(find_images([folder]), image_shape=GREY)
    return torch.stack([to_bytes(file.pixels) for file in files])


def run_pytorch_fid(folder: Path, *sets: str) -> float:
    command = [sys.executable, "-W", "ignore", "-m", "pytorch_fid", "--num-workers", "0", *sets]
    environment = {**os.environ, "TORCH_HOME": str(folder)}
    done = subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return float(done.stdout.split("FID:")[1])


def rank(arguments: argparse.Namespace) -> dict[str, object]:
    """Measures each set's distance to the test images; it should grow from row to row."""
    model, header = load_with_header(arguments.model)
    data = load_dataset(header.data["dataset"], data_dir=arguments.data_dir)
    count = arguments.samples
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(count, model.latent_size, generator=generator)
    sets = {
        "train": data.train.images[:count],
        "reconstructions": to_8_bit(model.reconstruct(data.test.images[:count])),
        "samples": to_8_bit(model.sample(count, generator=generator)),
        "decoded_gaussian": to_8_bit(model.decode(latents)),
        "noise": torch.randint(256, (count, *GREY), dtype=torch.uint8, generator=generator),
    }
    network = open_feature_network("classifier", image_shape=GREY)
    start = time.perf_counter()
    real = run(network, data.test.images[:count])
    features = {name: run(network, images) for name, images in sets.items()}
    seconds = (time.perf_counter() - start) * 2 / (len(sets) + 1)
    statistics = gaussian_statistics(real)
    return {
        "frechet": {
            name: frechet_distance(statistics, gaussian_statistics(x))
            for name, x in features.items()
        },
        "kernel": {name: kernel_distance(real, x).value for name, x in features.items()},
        "images": len(real),
        "seconds_for_two_sets": round(seconds, 1),
        "protocol": network.description,
    }


def run(network: FeatureNetwork, images: Tensor) -> Tensor:
    return torch.cat([network(batch) for batch in images.split(network.batch)])


if __name__ == "__main__":
    main()
