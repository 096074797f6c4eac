from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from paecli.data import load_dataset, write_image
from paecli.model.model import PAE
from paecli.sampling import draw_samples, interpolate, read_end
from paecli.store.checkpoint import Header
from paecli.system.errors import CheckpointError, DataError, ImageError, UsageError

HEADER = Header(kind="pae", autoencoder={}, autoencoder_hash="", data={"dataset": "fmnist-mini"})


def test_same_seed_same_images(trained_pae: PAE) -> None:
    first, again, other = (draw_samples(trained_pae, count=5, seed=seed) for seed in (1, 1, 2))
    assert_close(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    assert first.images.shape == (5, 1, 28, 28)
    assert first.images.min() >= 0
    assert first.images.max() <= 1


def test_temperature_scales_the_variety(trained_pae: PAE) -> None:
    spread = [
        draw_samples(trained_pae, count=100, temperature=t).images.std(0).mean().item()
        for t in (0.0, 0.3, 1.0)
    ]
    assert spread[0] == pytest.approx(0, abs=1e-6)
    assert spread[0] < spread[1] < spread[2]


@pytest.mark.parametrize(
    "options", [{"count": 0}, {"temperature": -1.0}, {"temperature": float("nan")}]
)
def test_impossible_draws_are_refused(trained_pae: PAE, options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="give"):
        draw_samples(trained_pae, **options)


def test_interpolation_goes_from_reconstruction_to_reconstruction(
    trained_pae: PAE, blobs: Tensor
) -> None:
    way = interpolate(trained_pae, blobs[0], blobs[1], steps=5)
    assert way.frames.shape == (5, 1, 28, 28)
    assert_close(way.frames[[0, -1]], trained_pae.reconstruct(blobs[:2]), atol=1e-4, rtol=0)
    assert_close(way.log_prob[[0, -1]], trained_pae.log_prob(blobs[:2]), atol=1e-3, rtol=1e-4)
    assert_close(way.ends, blobs[:2])


def test_interpolation_needs_two_ends_and_a_flow(trained_pae: PAE, blobs: Tensor) -> None:
    with pytest.raises(UsageError, match="at least 2"):
        interpolate(trained_pae, blobs[0], blobs[1], steps=1)
    with pytest.raises(CheckpointError, match="train-flow"):
        interpolate(PAE(trained_pae.autoencoder), blobs[0], blobs[1])


def test_ends_are_files_or_places_in_the_data_set(
    trained_pae: PAE, blobs: Tensor, tmp_path: Path
) -> None:
    file = tmp_path / "blob.png"
    write_image(file, blobs[0])
    read = read_end(str(file), model=trained_pae, header=HEADER)
    assert_close(read, blobs[0], atol=0.5 / 255 + 1e-6, rtol=0)
    data = load_dataset("fmnist-mini")
    assert torch.equal(read_end("test:7", model=trained_pae, header=HEADER), data.test.images[7])
    assert torch.equal(read_end("train:0", model=trained_pae, header=HEADER), data.train.images[0])


def test_missing_ends_say_what_there_is(trained_pae: PAE) -> None:
    with pytest.raises(DataError, match="test:0 to test:999"):
        read_end("test:1000", model=trained_pae, header=HEADER)
    with pytest.raises(ImageError, match=r"nowhere\.png"):
        read_end("nowhere.png", model=trained_pae, header=HEADER)
    with pytest.raises(DataError, match="trained on"):
        read_end("test:0", model=trained_pae, header=HEADER.model_copy(update={"data": {}}))
