from pathlib import Path

import pytest
import torch
from torch import Tensor

from paecli.evaluation.features import cache
from paecli.evaluation.features.cache import cached_features, features_folder
from paecli.system.progress import NullProgress


class CountingNetwork:
    """Mean and spread of each image; counts what it is shown."""

    name = "counting"
    description = "mean and spread"
    size = 2
    batch = 4

    def __init__(self, identity: str = "1", fail_after: int = 10**9) -> None:
        self.identity = identity
        self.seen = 0
        self.fail_after = fail_after

    def __call__(self, images: Tensor) -> Tensor:
        if self.seen >= self.fail_after:
            raise KeyboardInterrupt
        self.seen += len(images)
        x = images.float().flatten(1)
        return torch.stack((x.mean(1), x.std(1)), dim=1)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CHUNK", 10)


@pytest.fixture
def images() -> Tensor:
    return torch.randint(256, (25, 1, 3, 3), dtype=torch.uint8)


def test_the_second_time_nothing_is_computed(images: Tensor, tmp_path: Path) -> None:
    network = CountingNetwork()
    first = cached_features(images, network, label="x", folder=tmp_path)
    second = cached_features(images, network, label="x", folder=tmp_path)
    assert network.seen == 25
    assert first.shape == (25, 2)
    torch.testing.assert_close(first, CountingNetwork()(images))
    assert torch.equal(first, second)


def test_an_interrupted_run_goes_on(images: Tensor, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        cached_features(images, CountingNetwork(fail_after=20), label="x", folder=tmp_path)
    network = CountingNetwork()
    features = cached_features(images, network, label="x", folder=tmp_path)
    assert network.seen == 5
    torch.testing.assert_close(features, CountingNetwork()(images))


def test_processes_share_the_chunks(
    images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[int, Tensor]] = []

    def share(own: dict[int, Tensor]) -> list[Tensor]:
        made.append(own)
        return [*own.values()]

    alone = cached_features(images, CountingNetwork(), label="x", folder=tmp_path / "alone")
    monkeypatch.setattr(cache, "share_parts", share)
    for index, count in ((0, 15), (1, 10)):
        monkeypatch.setattr(cache, "is_own", lambda number, index=index: number % 2 == index)
        network = CountingNetwork()
        cached_features(images, network, label="x", folder=tmp_path / "shared")
        assert network.seen == count
    together = made[0] | made[1]
    assert torch.cat([together[number] for number in sorted(together)]).equal(alone)


def test_a_damaged_file_is_computed_again(images: Tensor, tmp_path: Path) -> None:
    expected = cached_features(images, CountingNetwork(), label="x", folder=tmp_path)
    next(tmp_path.glob("*/00001.safetensors")).write_bytes(b"damaged")
    network = CountingNetwork()
    assert torch.equal(cached_features(images, network, label="x", folder=tmp_path), expected)
    assert network.seen == 10


@pytest.mark.parametrize("changed", ["images", "weights"])
def test_other_images_and_other_weights_are_kept_apart(
    changed: str, images: Tensor, tmp_path: Path
) -> None:
    cached_features(images, CountingNetwork(), label="x", folder=tmp_path)
    network = CountingNetwork(identity="2" if changed == "weights" else "1")
    if changed == "images":
        images = images.clone()
        images[24, 0, 0, 0] ^= 1
    cached_features(images, network, label="x", folder=tmp_path)
    assert network.seen == 25


def test_the_cache_follows_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PAE_CACHE", str(tmp_path))
    assert features_folder() == tmp_path / "features"


def test_a_cache_that_cannot_be_written_costs_a_warning_only(
    images: Tensor, tmp_path: Path
) -> None:
    said: list[str] = []

    class Listening(NullProgress):
        def say(self, message: str) -> None:
            said.append(message)

    (tmp_path / "file").write_text("in the way")
    for each in (images, images[:12]):
        found = cached_features(
            each, CountingNetwork(), label="x", folder=tmp_path / "file", progress=Listening()
        )
        torch.testing.assert_close(found, CountingNetwork()(each))
    assert len(said) == 2
    assert len(set(said)) == 1  # which a command says once
    assert f"cannot write {tmp_path / 'file'} (" in said[0]
    assert "PAE_CACHE" in said[0]
