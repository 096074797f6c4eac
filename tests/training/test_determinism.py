"""Same seed, same machine, same bits: in this process and in one that was spawned.

What crosses to the other process is pickled, so these tests also fail when a lambda or a local
function gets into what a data loader would have to send.
"""

import multiprocessing
import pickle
from pathlib import Path

import torch

from paecli.api import load
from paecli.data import ImageSplit, load_dataset
from paecli.sampling import draw_samples
from paecli.store.checkpoint import hash_tensors
from paecli.train import train_autoencoder, train_flow
from paecli.training.settings import RunSettings

MISSING = torch.arange(28) < 14


def everything(
    model_file: Path, split: ImageSplit, settings: RunSettings, run_dir: Path, generator_state: int
) -> dict[str, str]:
    """Samples, restores and trains; returns a hash of each result."""
    torch.set_num_threads(1)
    torch.manual_seed(generator_state)  # none of the results may depend on it
    model = load(model_file)
    results = {"samples": draw_samples(model, count=5, seed=1).images}
    for method in ("laplace", "is", "smc"):
        restored = model.restore_batch(
            split.images[:1].float() / 255,
            mask=~MISSING.expand(1, 28, 28),
            method=method,
            samples=4,
            starts=2,
            seed=3,
        )[0]
        results |= {f"{method} mean": restored.mean, f"{method} draws": restored.predictive}
    train_autoencoder(settings, run_dir=run_dir, device="cpu")
    train_flow(settings.flow, run_dir=run_dir, device="cpu")
    hashes = {name: hash_tensors({name: tensor}) for name, tensor in results.items()}
    return hashes | {"trained": hash_tensors(load(run_dir).state_dict())}


def test_results_are_the_same_to_the_bit_in_a_spawned_process(
    model_file: Path, small_run: RunSettings, tmp_path: Path
) -> None:
    split = load_dataset("mnist-mini").test.take(3)
    here = everything(model_file, split, small_run, tmp_path / "here", 1)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        arguments = (model_file, split, small_run, tmp_path / "there", 2)
        there = pool.apply(everything, arguments)
    assert here == there


def test_another_seed_gives_another_result(model_file: Path) -> None:
    model = load(model_file)
    first, second = (draw_samples(model, count=2, seed=seed).images for seed in (1, 2))
    assert not torch.equal(first, second)


def test_a_data_set_crosses_to_another_process() -> None:
    dataset = load_dataset("fmnist-mini")
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy.test.images, dataset.test.images)
    assert copy.content_hash == dataset.content_hash
