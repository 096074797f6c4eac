"""Trains the classifier whose features `pae eval --features classifier` compares.

One network for the twenty classes of Fashion-MNIST and MNIST, so an image of one set
counts as wrong when it is taken for a class of the other. One core is enough, more
threads gain little:

    OMP_NUM_THREADS=1 python benchmarks/train_classifier.py --data-dir DATA --registry FOLDER

FOLDER is the registry that gets the entry `grey-classifier`; the bundled one is
`src/paecli/registry`.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from paecli.core.augment import augment
from paecli.core.averaging import WeightAverage
from paecli.core.features_classifier import GreyClassifier
from paecli.data import ImageSplit, load_dataset
from paecli.files import hash_file, write_atomically
from paecli.store.checkpoint import save_tensors
from paecli.store.index import INDEX_FILE, Entry, Index, IndexFile, index_to_yaml, parse_index
from paecli.workflows.feature_networks import CLASSIFIER_ENTRY

FILE_NAME = f"{CLASSIFIER_ENTRY}.safetensors"
BATCH = 256
MNIST_SHARE = 0.15  # of every batch; digits are learned in far fewer steps than clothes
CLASSES = 10  # labels 0 to 9 are Fashion-MNIST's, 10 to 19 MNIST's


def main() -> None:
    arguments = parse_arguments()
    torch.manual_seed(arguments.seed)
    clothes = load_dataset("fmnist", data_dir=arguments.data_dir)
    digits = load_dataset("mnist", data_dir=arguments.data_dir)
    network = GreyClassifier(classes=2 * CLASSES).to(memory_format=torch.channels_last)
    average = WeightAverage(network, decay=0.998)
    steps = arguments.epochs * steps_per_epoch(clothes.train)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=arguments.learning_rate, weight_decay=0.05, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=arguments.learning_rate, total_steps=steps, pct_start=0.2
    )
    generator = torch.Generator().manual_seed(arguments.seed)
    start = time.perf_counter()
    for epoch in range(arguments.epochs):
        network.train()
        for x, labels in batches(clothes.train, digits.train, generator):
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(x)
            loss = nn.functional.cross_entropy(logits.float(), labels, label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            average.update(network)
        # saved after every epoch, so that an interrupted run leaves something
        path = arguments.registry / FILE_NAME
        accuracies = save_rounded(average.weights, clothes.test, digits.test, path)
        register(path, accuracies)
        seconds = round(time.perf_counter() - start)
        print(json.dumps({"epoch": epoch + 1, "seconds": seconds, **accuracies}), flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--registry", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=6e-3)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def steps_per_epoch(clothes: ImageSplit) -> int:
    return len(clothes) // BATCH


def batches(
    clothes: ImageSplit, digits: ImageSplit, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields one epoch of mixed batches; clothes are mirrored at random, digits never."""
    assert clothes.labels is not None
    assert digits.labels is not None
    digit_count = int(MNIST_SHARE * BATCH)
    order = torch.randperm(len(clothes), generator=generator)
    for step in range(steps_per_epoch(clothes)):
        clothes_index = order[step * BATCH :][: BATCH - digit_count]
        digit_index = torch.randint(len(digits), (digit_count,), generator=generator)
        x = torch.cat(
            (
                augment(
                    clothes.images[clothes_index] / 255,
                    generator=generator,
                    shift=1,
                    horizontal_flip=0.5,
                ),
                augment(digits.images[digit_index] / 255, generator=generator, shift=2),
            )
        )
        labels = torch.cat((clothes.labels[clothes_index], CLASSES + digits.labels[digit_index]))
        yield x, labels


def save_rounded(
    weights: dict[str, Tensor], clothes: ImageSplit, digits: ImageSplit, path: Path
) -> dict[str, float]:
    """Writes weights as float16; returns the test accuracies of exactly these weights."""
    halved = {
        name: value.half() if value.is_floating_point() else value
        for name, value in weights.items()
    }
    network = GreyClassifier(classes=2 * CLASSES).eval()
    network.load_state_dict(halved)
    accuracies = {
        "fmnist": accuracy(network, clothes, offset=0),
        "mnist": accuracy(network, digits, offset=CLASSES),
    }
    save_tensors(path, halved, {"test_accuracy": json.dumps(accuracies)})
    return accuracies


def register(path: Path, accuracies: dict[str, float]) -> None:
    """Puts the weights into the index beside them, in place of an earlier entry."""
    index_file = path.parent / INDEX_FILE
    text = index_file.read_text("utf-8") if index_file.exists() else "schema_version: 1"
    index = parse_index(text, where=str(index_file))
    entry = Entry(
        name=CLASSIFIER_ENTRY,
        kind="features",
        description="Classifier of Fashion-MNIST and MNIST, for `pae eval --features classifier`.",
        licence="MIT",
        metrics={f"{name}_test_accuracy": value for name, value in accuracies.items()},
        files=(IndexFile(path=path.name, size=path.stat().st_size, sha256=hash_file(path)),),
    )
    others = tuple(other for other in index.entries if other.name != entry.name)
    write_atomically(index_file, index_to_yaml(Index(entries=(*others, entry))).encode())


@torch.no_grad()
def accuracy(network: nn.Module, split: ImageSplit, *, offset: int) -> float:
    assert split.labels is not None
    predicted = torch.cat([network(x / 255).argmax(1) for x in split.images.split(500)])
    return (predicted == offset + split.labels).double().mean().item()


if __name__ == "__main__":
    main()
