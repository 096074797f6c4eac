"""What training chooses from the images, and that explicit settings win."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.listener import Listener
from torch import Tensor
from torch.nn import functional as F

from paecli.model.principal_components import principal_components
from paecli.store.checkpoint import read_header
from paecli.system.errors import ConfigError
from paecli.train import train_autoencoder
from paecli.training import choices
from paecli.training.choices import choose
from paecli.training.run_folder import resolve_flow_settings
from paecli.training.settings import AutoencoderSettings, RunSettings, check, read_yaml, resolve

AUTO = {
    "latent_size": "auto",
    "augment": {"horizontal_flip": "auto"},
    "optimiser": {"epochs": "auto"},
}


def images_of_rank(rank: int, count: int, *, mirrored: bool = False) -> Tensor:
    """Random mixtures of `rank` random pictures of 12 x 12, some mirrored when asked to."""
    generator = torch.Generator().manual_seed(rank)
    pictures = F.interpolate(
        torch.randn(rank, 1, 6, 6, generator=generator), size=(12, 12), mode="bilinear"
    )
    weights = torch.randn(count, rank, generator=generator) / rank**0.5
    x = torch.einsum("nr,rchw->nchw", weights, pictures) * 0.1 + 0.5
    if mirrored:
        x = torch.where(torch.rand(count, 1, 1, 1, generator=generator) < 0.5, x.flip(-1), x)
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


def chosen(settings: dict[str, object], images: Tensor) -> tuple[AutoencoderSettings, list[str]]:
    said = Listener()
    asked = check({"autoencoder": settings}, where="the test").autoencoder
    return choose(asked, images[:-100], images[-100:], said).settings, said.lines


@pytest.mark.parametrize(("rank", "size"), [(3, 4), (7, 8), (28, 32)])
def test_the_latent_size_is_the_least_that_explains_the_images(rank: int, size: int) -> None:
    settings, said = chosen(AUTO, images_of_rank(rank, 900))
    assert settings.latent_size == size
    assert any(line.startswith(f"{size} latents: ") for line in said)
    assert settings.chosen["latent_size"] in said


def test_few_images_get_few_latents_and_are_told_why() -> None:
    settings, _ = chosen(AUTO, images_of_rank(28, 232))
    assert settings.latent_size == 8
    assert "more would need more than 132 images" in settings.chosen["latent_size"]


@pytest.mark.parametrize("mirrored", [True, False])
def test_images_are_mirrored_where_that_makes_no_difference(mirrored: bool) -> None:
    settings, said = chosen(AUTO, images_of_rank(3, 900, mirrored=mirrored))
    assert settings.augment.horizontal_flip == (0.5 if mirrored else 0)
    assert any(line.startswith("mirrored images") for line in said)


def test_what_is_given_stays() -> None:
    explicit = {
        "latent_size": 5,
        "augment": {"horizontal_flip": 0.25},
        "optimiser": {"epochs": 3},
    }
    settings, said = chosen(explicit, images_of_rank(3, 300))
    assert settings == check({"autoencoder": explicit}, where="the test").autoencoder
    assert said == []


def test_epochs_fall_with_the_number_of_images() -> None:
    few, _ = chosen(AUTO, torch.zeros(200, 1, 16, 16, dtype=torch.uint8).random_(0, 255))
    assert few.optimiser.epochs == 1000
    big = torch.zeros(1, 1, 64, 64, dtype=torch.uint8).expand(20_000, 1, 64, 64)
    many, _ = chosen({"optimiser": {"epochs": "auto"}}, big)
    assert many.optimiser.epochs == 6
    timed, _ = chosen({"optimiser": {"epochs": "auto", "minutes": 5}}, big)
    assert timed.optimiser.epochs == "auto"


@pytest.mark.parametrize("kind", ["one image", "all the same"])
def test_odd_images_still_get_a_size(kind: str) -> None:
    images = torch.full((101 if kind == "one image" else 300, 1, 4, 4), 9, dtype=torch.uint8)
    settings, _ = chosen(AUTO, images)
    assert isinstance(settings.latent_size, int)
    assert settings.latent_size >= 1


def test_errors_for_every_number_of_components_are_those_of_mse() -> None:
    images = images_of_rank(5, 300)
    found = principal_components(images[:200], 6)
    errors = found.errors(images[200:])
    expected = [found.mse(images[200:], count) for count in range(7)]
    torch.testing.assert_close(
        errors, torch.tensor(expected, dtype=torch.float64), rtol=1e-3, atol=1e-8
    )


def test_a_run_records_what_it_chose_and_can_be_read_back(
    small_run: RunSettings, tmp_path: Path
) -> None:
    fields = small_run.model_dump()
    fields["autoencoder"] |= {"latent_size": "auto", "linear": True, "augment": {}}
    run = tmp_path / "run"
    train_autoencoder(check(fields, where="the test"), run_dir=run, device="cpu")
    own = read_header(run / "autoencoder.safetensors").config["autoencoder"]
    assert own["latent_size"] == 8  # 192 images
    assert own["chosen"]["latent_size"].startswith("8 latents: ")
    assert read_yaml(run / "config.yaml")["autoencoder"]["latent_size"] == 8
    again = resolve(preset=None, file=run / "config.yaml", flags={})
    assert again.autoencoder.latents == 8
    assert resolve_flow_settings(run, preset=None, file=None, flags={}).blocks == 2


def test_the_preset_of_folders_leaves_these_open_and_options_close_them() -> None:
    settings = resolve(preset=None, file=None, flags={}, fallback="holidays")
    own = settings.autoencoder
    assert (own.latent_size, own.optimiser.epochs, own.augment.horizontal_flip) == ("auto",) * 3
    flags = {"autoencoder": {"latent_size": 7, "optimiser": {"epochs": 2}}}
    own = resolve(preset=None, file=None, flags=flags, fallback="holidays").autoencoder
    assert (own.latents, own.optimiser.last_epoch) == (7, 2)


def test_auto_is_refused_where_nothing_chooses() -> None:
    flow = check({"flow": {"optimiser": {"epochs": "auto"}}}, where="the test").flow
    with pytest.raises(ConfigError, match="epochs: auto is for"):
        _ = flow.optimiser.last_epoch


class Spectrum:
    """Errors that fall by a share of what is left with every component."""

    def __init__(self, share: float) -> None:
        self.share = share

    def errors(self, images: Tensor) -> Tensor:
        return (1 - self.share) ** torch.arange(300.0)[: len(images)].double()


@pytest.mark.parametrize(
    ("share", "training", "tuning", "size", "capped"),
    [
        (0.02, 63, 300, 4, True),  # a latent takes sixteen images, but four there are always
        (0.02, 16 * 8 - 1, 300, 4, True),
        (0.02, 16 * 8, 300, 8, True),
        (0.02, 10**6, 300, 256, False),
        (0.02, 10**6, 9, 8, False),  # no more components than images to judge them by
        (0.02, 10**6, 4, 3, False),  # fewer than the least size
        (0.9, 10**6, 300, 4, False),
        (1 - 0.05**0.125, 10**6, 300, 8, False),  # just enough
        (1 - 0.0501**0.125, 10**6, 300, 16, False),  # just not
    ],
)
def test_the_latent_size_at_its_limits(
    share: float, training: int, tuning: int, size: int, capped: bool
) -> None:
    spectrum: Any = Spectrum(share)
    found, why = choices._latent_size(spectrum, torch.zeros(tuning, 1), training)
    assert found == size
    assert (f"would need more than {training:,} images" in why) == capped
    assert why.startswith(f"{size} latents: ")
    assert f"of what {min(256, tuning - 1)} principal components explain" in why
