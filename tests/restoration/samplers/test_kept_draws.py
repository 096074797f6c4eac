"""Draws that are kept are those that were made, and keeping them is never in the way."""

import os
from pathlib import Path

import pytest
import torch

from paecli.model.autoencoder import Autoencoder
from paecli.model.flow import LatentFlow
from paecli.model.model import Model
from paecli.restoration.samplers import kept_draws
from paecli.restoration.samplers.kept_draws import KeptDraws, draws_folder
from paecli.restoration.samplers.prior_pool import Drawn


@pytest.fixture(autouse=True)
def everything_is_worth_keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_draws, "WORTH_KEEPING", -1.0)


def small_model() -> Model:
    torch.manual_seed(0)
    return Model(
        Autoencoder(network="mlp", image_shape=(1, 4, 4), latent_size=2, width=4),
        LatentFlow(kind="nsf", latent_size=2, blocks=1, width=4),
    ).eval()


def draw() -> Drawn:
    return torch.rand(2, 5, 2), torch.rand(10, 16)


def never() -> Drawn:
    pytest.fail("drawn again")


def test_draws_are_read_again_by_another_process_of_the_same_model() -> None:
    points, images = KeptDraws(small_model()).obtain("seed 0", draw)
    again = KeptDraws(small_model()).obtain("seed 0", never)
    assert torch.equal(again[0], points)
    assert torch.equal(again[1], images)


@pytest.mark.parametrize("part", ["autoencoder.decoder", "flow"])
def test_another_name_or_model_has_other_draws(part: str) -> None:
    model = small_model()
    points, _ = KeptDraws(model).obtain("seed 0", draw)
    assert not torch.equal(KeptDraws(model).obtain("seed 1", draw)[0], points)
    next(model.get_submodule(part).parameters()).data.add_(1e-3)
    assert not torch.equal(KeptDraws(model).obtain("seed 0", draw)[0], points)


def test_quick_draws_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_draws, "WORTH_KEEPING", 1e9)
    KeptDraws(small_model()).obtain("seed 0", draw)
    assert not draws_folder().exists()


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\xff" * 100])
def test_a_damaged_file_is_drawn_again_and_replaced(content: bytes) -> None:
    kept = KeptDraws(small_model())
    kept.obtain("seed 0", draw)
    (file,) = draws_folder().iterdir()
    file.write_bytes(content)
    points, _ = kept.obtain("seed 0", draw)
    assert torch.equal(kept.obtain("seed 0", never)[0], points)


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in its place")
    kept = KeptDraws(small_model())
    first, second = (kept.obtain("seed 0", draw)[0] for _ in range(2))
    assert not torch.equal(first, second)


def test_what_was_not_used_for_longest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = KeptDraws(small_model())
    for age, name in ((30, "old but used"), (20, "unused"), (10, "young")):
        before = set(draws_folder().glob("*"))
        kept.obtain(name, draw)
        (file,) = set(draws_folder().glob("*")) - before
        os.utime(file, (file.stat().st_mtime - age,) * 2)
    kept.obtain("old but used", never)
    size = sum(file.stat().st_size for file in draws_folder().iterdir())
    monkeypatch.setattr(kept_draws, "MOST_BYTES", size)  # one of four is too many
    kept.obtain("new", draw)
    for name in ("old but used", "young", "new"):
        kept.obtain(name, never)
    assert len(list(draws_folder().iterdir())) == 3


def test_all_but_the_newest_may_go(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = KeptDraws(small_model())
    monkeypatch.setattr(kept_draws, "MOST_BYTES", 0)
    for name in ("old", "new"):
        kept.obtain(name, draw)
        (file,) = draws_folder().iterdir()
        os.utime(file, (file.stat().st_mtime - 9,) * 2)
    kept.obtain("new", never)


def test_files_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_draws, "MOST_BYTES", 0)
    draws_folder().mkdir(parents=True)
    foreign = draws_folder() / "mine.safetensors"
    foreign.write_bytes(b"mine")
    kept = KeptDraws(small_model())
    for name in ("seed 0", "seed 1"):
        kept.obtain(name, draw)
    assert foreign.read_bytes() == b"mine"


def test_draws_in_a_cache_that_can_only_be_read_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    points, _ = KeptDraws(small_model()).obtain("seed 0", draw)

    def refuse(_: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "touch", refuse)
    assert torch.equal(KeptDraws(small_model()).obtain("seed 0", never)[0], points)
