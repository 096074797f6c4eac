"""Trains the classifier whose features `pae eval --features classifier` compares.

One network for the twenty classes of Fashion-MNIST and MNIST, so an image of one set
counts as wrong when it is taken for a class of the other. One core is enough, more
threads gain little:

    OMP_NUM_THREADS=1 python benchmarks/train_classifier.py --data-dir DATA --registry FOLDER

FOLDER is the registry that gets the entry `grey-classifier`; the bundled one is
`src/paecli/registry`. `--held-out` trains without the last 5,000 training images of each
set, prints the accuracy on these and writes nothing: for trying settings.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from paecli.data import ImageSplit, load_dataset
from paecli.evaluation.features.classifier import GreyClassifier
from paecli.evaluation.features.opening import CLASSIFIER_ENTRY, CLASSIFIER_REVISION
from paecli.store.checkpoint import save_tensors
from paecli.store.index import INDEX_FILE, Entry, Index, IndexFile, index_to_yaml, parse_index
from paecli.system.files import hash_file, write_atomically
from paecli.training.augmentation import augment
from paecli.training.averaging import WeightAverage

FILE_NAME = f"{CLASSIFIER_ENTRY}-r{CLASSIFIER_REVISION}.safetensors"
BATCH = 256
DIGIT_SHARE = 0.15  # of every batch; digits are learned in far fewer steps than clothes
CLASSES = 10  # labels 0 to 9 are Fashion-MNIST's, 10 to 19 MNIST's
HELD_OUT = 5000  # images of each set, the last of its training split
WARM_UP = 0.1  # share of the steps
MOMENTUM = 0.9


def main() -> None:
    arguments = parse_arguments()
    torch.manual_seed(arguments.seed)
    splits = [load_dataset(name, data_dir=arguments.data_dir) for name in ("fmnist", "mnist")]
    if arguments.held_out:
        train = [part(data.train, slice(-HELD_OUT)) for data in splits]
        judged = [part(data.train, slice(-HELD_OUT, None)) for data in splits]
    else:
        train, judged = [data.train for data in splits], [data.test for data in splits]
    network = GreyClassifier(classes=2 * CLASSES).to(memory_format=torch.channels_last)
    average = WeightAverage(network, decay=0.99)
    optimisers = Optimisers(network, arguments.learning_rate, arguments.weight_decay)
    steps = arguments.epochs * (len(train[0]) // BATCH)
    step, start = 0, time.perf_counter()
    generator = torch.Generator().manual_seed(arguments.seed)
    network.train()
    for epoch in range(arguments.epochs):
        right = seen = 0
        for x, labels in batches(*train, generator):
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(x)
            loss = nn.functional.cross_entropy(logits.float(), labels, label_smoothing=0.1)
            loss.backward()
            optimisers.step(learning_rate_factor(step / steps))
            average.update(network)
            step += 1
            right += int((logits.argmax(1) == labels).sum())
            seen += len(labels)
        seconds = round(time.perf_counter() - start)
        line = {"epoch": epoch + 1, "seconds": seconds, "training_accuracy": right / seen}
        print(json.dumps(line), flush=True)
    halved = halve(average.weights)
    accuracies = measure(halved, *judged)
    print(json.dumps({"seconds": round(time.perf_counter() - start), **accuracies}))
    if not arguments.held_out:
        path = arguments.registry / FILE_NAME
        save_tensors(path, halved, {"test_accuracy": json.dumps(accuracies)})
        register(path, accuracies)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--registry", type=Path)
    target.add_argument("--held-out", action="store_true")
    parser.add_argument("--epochs", type=int, default=11)
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def part(split: ImageSplit, which: slice) -> ImageSplit:
    assert split.labels is not None
    return ImageSplit(split.images[which], split.labels[which], split.classes)


class Optimisers:
    """Muon for the filters, taken as matrices, and AdamW for everything else."""

    def __init__(self, network: nn.Module, learning_rate: float, weight_decay: float) -> None:
        self.learning_rate = learning_rate
        self.filters = [p for p in network.parameters() if p.ndim == 4]
        self.matrices = [nn.Parameter(as_matrix(p.detach())) for p in self.filters]
        # the matrices must be the filters' own memory, or the network would never change
        assert [p.data_ptr() for p in self.filters] == [m.data_ptr() for m in self.matrices]
        others = [p for p in network.parameters() if p.ndim < 4]
        self.members: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                self.matrices,
                lr=learning_rate,
                momentum=MOMENTUM,
                weight_decay=weight_decay,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(others, lr=learning_rate, weight_decay=0.0, fused=True),
        ]

    def step(self, factor: float) -> None:
        """Moves everything by the gradients, which are cleared."""
        for matrix, own in zip(self.matrices, self.filters, strict=True):
            assert own.grad is not None
            matrix.grad = as_matrix(own.grad)
        for member in self.members:
            for group in member.param_groups:
                group["lr"] = factor * self.learning_rate
            member.step()
        for parameters in (self.filters, self.members[1].param_groups[0]["params"]):
            for parameter in parameters:
                parameter.grad = None


def as_matrix(filters: Tensor) -> Tensor:
    """Views channels-last filters `(out, in, h, w)` as `(out, h * w * in)`, the same memory."""
    return filters.permute(0, 2, 3, 1).flatten(1)


def learning_rate_factor(fraction: float) -> float:
    """Returns the course of the learning rate: linear warm-up, then half a cosine to 0."""
    if fraction < WARM_UP:
        return (fraction + 1e-3) / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (fraction - WARM_UP) / (1 - WARM_UP)))


def batches(
    clothes: ImageSplit, digits: ImageSplit, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields one epoch of mixed batches; clothes are mirrored at random, digits never."""
    assert clothes.labels is not None
    assert digits.labels is not None
    digit_count = int(DIGIT_SHARE * BATCH)
    order = torch.randperm(len(clothes), generator=generator)
    for rows in order[: len(clothes) // BATCH * BATCH].split(BATCH):
        clothes_index = rows[digit_count:]
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


def halve(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rounds weights to float16, which is what is stored."""
    return {
        name: value.half() if value.is_floating_point() else value
        for name, value in weights.items()
    }


def measure(
    weights: dict[str, Tensor], clothes: ImageSplit, digits: ImageSplit
) -> dict[str, float]:
    """Returns the accuracies of exactly these weights, computed in float32."""
    network = GreyClassifier(classes=2 * CLASSES).eval()
    network.load_state_dict(weights)
    network.to(memory_format=torch.channels_last)
    return {
        "fmnist": accuracy(network, clothes, offset=0),
        "mnist": accuracy(network, digits, offset=CLASSES),
    }


def register(path: Path, accuracies: dict[str, float]) -> None:
    """Puts the weights into the index beside them, in place of an earlier entry."""
    index_file = path.parent / INDEX_FILE
    text = index_file.read_text("utf-8") if index_file.exists() else "schema_version: 1"
    index = parse_index(text, where=str(index_file))
    entry = Entry(
        name=CLASSIFIER_ENTRY,
        kind="features",
        revision=CLASSIFIER_REVISION,
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
    predicted = torch.cat([network(x / 255).argmax(1) for x in split.images.split(250)])
    return (predicted == offset + split.labels).double().mean().item()


if __name__ == "__main__":
    main()
