from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from paecli.api import PAE
from paecli.data import load_dataset, write_image
from paecli.sampling import (
    draw_samples,
    go_along_directions,
    interpolate,
    read_ends,
    spherical_path,
)
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
    read = read_ends([str(file)], model=trained_pae, header=HEADER)[0]
    assert_close(read, blobs[0], atol=0.5 / 255 + 1e-6, rtol=0)
    data = load_dataset("fmnist-mini")
    assert torch.equal(
        read_ends(["test:7"], model=trained_pae, header=HEADER)[0], data.test.images[7]
    )
    assert torch.equal(
        read_ends(["train:0"], model=trained_pae, header=HEADER)[0], data.train.images[0]
    )


def test_missing_ends_say_what_there_is(trained_pae: PAE) -> None:
    with pytest.raises(DataError, match="test:0 to test:999"):
        read_ends(["test:1000"], model=trained_pae, header=HEADER)
    with pytest.raises(ImageError, match=r"nowhere\.png"):
        read_ends(["nowhere.png"], model=trained_pae, header=HEADER)
    with pytest.raises(DataError, match="trained on"):
        read_ends(["test:0"], model=trained_pae, header=HEADER.model_copy(update={"data": {}}))


def test_path_starts_and_ends_where_it_should() -> None:
    start, end = torch.randn(2, 16, dtype=torch.float64)
    path = spherical_path(start, end, steps=7)
    assert path.shape == (7, 16)
    assert_close(path[0], start)
    assert_close(path[-1], end)


def test_length_changes_linearly_and_the_angle_too() -> None:
    start, end = torch.randn(2, 16, dtype=torch.float64)
    path = spherical_path(start, 3 * end, steps=6)
    expected = torch.linspace(start.norm().item(), 3 * end.norm().item(), 6, dtype=torch.float64)
    assert_close(path.norm(dim=1), expected)
    angles = torch.cosine_similarity(path[1:], path[:-1]).acos()
    assert_close(angles, angles[:1].expand(5))


def test_middle_stays_as_far_out_as_draws_do() -> None:
    start, end = torch.randn(2, 400, dtype=torch.float64)
    middle = spherical_path(start, end, steps=3)[1].norm()
    assert 0.9 * 400**0.5 < middle < 1.1 * 400**0.5
    assert torch.lerp(start, end, 0.5).norm() < 0.8 * 400**0.5


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0])
def test_vectors_without_a_plane_give_the_straight_line(factor: float) -> None:
    start = torch.randn(8)
    path = spherical_path(start, factor * start, steps=5)
    assert path.isfinite().all()
    assert_close(path, torch.lerp(start, factor * start, torch.linspace(0, 1, 5)[:, None]))


def test_directions_are_those_that_change_the_image_most(trained_pae: PAE, blobs: Tensor) -> None:
    image = blobs[500]
    found = go_along_directions(trained_pae, image, count=3, steps=5, reach=2.0)
    assert found.frames.shape == (3, 5, 1, 28, 28)
    assert found.distances.tolist() == [-2, -1, 0, 1, 2]
    middle = trained_pae.reconstruct(image[None])[0]
    for frames in found.frames:
        assert torch.allclose(frames[2], middle, atol=1e-5)
    assert found.shares.tolist() == sorted(found.shares.tolist(), reverse=True)
    assert 0.5 < found.shares.sum() <= 1
    # a small step along each of them changes pixels as much as its share says
    near = go_along_directions(trained_pae, image, count=4, steps=3, reach=1e-2)
    change = (near.frames[:, 2] - near.frames[:, 0]).square().sum((1, 2, 3))
    assert torch.allclose(change / change.sum(), near.shares, atol=0.02)
    assert torch.allclose(found.log_prob[:, 2], trained_pae.log_prob(image[None]), atol=1e-3)
