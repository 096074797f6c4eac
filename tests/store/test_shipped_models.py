"""The models inside the package are as good as their cards say, on the bundled samples."""

import pytest
import torch
from torch import Tensor

from paecli.api import load
from paecli.data import load_dataset
from paecli.model.model import Model
from paecli.model.requirements import FAST_SCORES
from paecli.outliers.conformal import p_values
from paecli.outliers.regions import region_threshold
from paecli.outliers.residual_maps import ResidualMaps
from paecli.outliers.scores import measure_scores
from paecli.store.registry import fetch_model
from paecli.store.runs import load_with_header

SHIPPED = {"fmnist-32": "fmnist-mini", "fmnist-64": "fmnist-mini", "mnist-8": "mnist-mini"}
MEGABYTES = 40


def wrong_metrics(model: Model, card: dict[str, float], sample: str) -> set[str]:
    """Names the metrics of the card that do not hold on a bundled sample.

    The sample is a tenth or less of the test set: its own figures vary by a few per cent.
    """
    images = load_dataset(sample).test.images
    error = (model.reconstruct(images) - images / 255).square().mean().item()
    nll = -model.log_prob(images).mean().item()
    holds = {
        "test_mse": error == pytest.approx(card["test_mse"], rel=0.06),
        "test_nll": nll == pytest.approx(card["test_nll"], rel=0.02),
    }
    return {name for name, good in holds.items() if not good}


@pytest.mark.parametrize(("name", "sample"), SHIPPED.items())
def test_metrics_of_the_card_hold_on_the_bundled_sample(name: str, sample: str) -> None:
    model, header = load_with_header(name)
    assert wrong_metrics(model, header.metrics, sample) == set()


@pytest.mark.parametrize(
    ("part", "wrong", "noise"),
    [("autoencoder.decoder", "test_mse", 0.2), ("flow", "test_nll", 0.4)],
)
def test_metrics_of_other_weights_do_not_hold(part: str, wrong: str, noise: float) -> None:
    model, header = load_with_header("mnist-8")
    for parameter in model.get_submodule(part).parameters():
        if parameter.requires_grad:
            parameter.data += noise * parameter.abs().mean() * torch.randn(parameter.shape)
    assert wrong_metrics(model, header.metrics, SHIPPED["mnist-8"]) == {wrong}


def test_default_model_is_the_one_of_latent_size_32() -> None:
    assert fetch_model(None) == fetch_model("fmnist-32")


def test_shipped_models_stay_small() -> None:
    assert sum(fetch_model(name).stat().st_size for name in SHIPPED) < MEGABYTES * 1e6


def test_digits_are_unusual_clothes() -> None:
    model = load()
    digits = load_dataset("mnist-mini").test.images[:100]
    clothes = load_dataset("fmnist-mini").test.images[:200]
    assert (model.p_value(digits) < 0.05).float().mean() > 0.9
    assert (model.p_value(clothes) < 0.05).float().mean() < 0.12


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_have_voices_that_see_what_single_scores_miss(name: str) -> None:
    """Their files were written before there were any; half the contrast looked more usual."""
    model = load(name)
    own = load_dataset(SHIPPED[name]).test.images[:150]
    assert model.voices.fitted
    assert len(model.reference_scores["combined"]) == len(model.reference_scores["log_prob"])
    assert (model.p_value(own, "combined") <= 0.05).double().mean() < 0.13
    grey = torch.linspace(0.05, 1, 40).view(-1, 1, 1, 1).expand(-1, 1, 28, 28)
    blurred = torch.nn.functional.avg_pool2d(own / 255, 3, stride=1, padding=1)
    for unusual in (grey, blurred):
        assert (model.p_value(unusual, "combined") <= 0.05).double().mean() > 0.9


@pytest.mark.parametrize("name", SHIPPED)
def test_few_good_images_have_a_region_in_their_maps(name: str) -> None:
    maps = ResidualMaps(load(name))
    images = load_dataset(SHIPPED[name]).test.images[:300] / 255
    assert len(maps.reference_peaks) == 2500
    peaks = torch.stack([maps.score_map(image).amax() for image in images])
    share = (peaks > region_threshold(maps.reference_peaks, 0.05)).double().mean().item()
    assert 0.01 < share < 0.1  # the standard error is .013


def changed(images: Tensor) -> dict[str, Tensor]:
    """Copies of images `(n, 1, 28, 28)` in [0, 1] that are no longer of the training kind."""
    others = images.roll(1, 0)
    noise = 0.05 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    erased = images.clone()
    erased[..., 10:18, 8:16] = 0
    return {
        "shifted": images.roll(3, 3),
        "quarter turn": images.rot90(1, (2, 3)),
        "upside down": images.flip(2),
        "spliced": torch.cat((images[..., :14], others[..., 14:]), 3),
        "erased": erased,
        "noise": (images + noise).clamp(0, 1),
        "half contrast": images / 2,
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_combined_misses_little_of_what_any_score_sees(name: str) -> None:
    model = load(name)
    images = load_dataset(SHIPPED[name]).test.images[:150] / 255
    for kind, unusual in changed(images).items():
        measured = measure_scores(model, unusual, FAST_SCORES)
        shares = {
            score: (p_values(values, model.reference_scores[score]) <= 0.05).double().mean().item()
            for score, values in measured.items()
        }
        best = max(share for score, share in shares.items() if score != "orientation")
        assert shares["combined"] > best - 0.1, kind  # the standard error of a share is .04


def test_shipped_model_restores_with_calibration() -> None:
    model = load("mnist-8")
    assert model.held_out_errors.fitted
    image = load_dataset("mnist-mini").test.images[0] / 255
    observed = torch.zeros(28, 28, dtype=torch.bool)
    observed[:, 14:] = True
    restored = model.restore(image, mask=observed, method="laplace", starts=8, samples=4)
    assert torch.allclose(restored.map[..., 14:], image[..., 14:])
    assert (restored.std[..., 14:] == 0).all()
    assert restored.std[..., :14].max() > 0.05


@pytest.mark.parametrize("name", SHIPPED)
def test_no_images_give_no_results(name: str) -> None:
    model, none = load(name), torch.zeros(0, 1, 28, 28)
    assert model.encode(none).shape == (0, model.latent_size)
    assert model.log_prob(none).shape == (0,)
    assert model.decode(torch.zeros(0, model.latent_size)).shape == none.shape
