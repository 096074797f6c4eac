import copy
from math import exp, log, pi

import pytest
import torch
from tests.peak_memory import peak_growth
from torch import Tensor

from paecli.api import PAE
from paecli.model.autoencoder import Autoencoder
from paecli.model.flow import LatentFlow
from paecli.model.held_out_errors import calibration_part, fitting_part
from paecli.model.requirements import MAP_PEAK
from paecli.outliers.conformal import p_values
from paecli.outliers.ingredients import Ingredients
from paecli.outliers.pixel_statistics import pixel_statistics
from paecli.outliers.scores import (
    FAST_SCORES,
    SCORES,
    fit_reference_scores,
    measure_scores,
)
from paecli.system.errors import CheckpointError, UsageError


@pytest.fixture(scope="module")
def fitted(trained_pae: PAE, blobs: Tensor) -> PAE:
    model = copy.deepcopy(trained_pae)
    model.fit_sigma(blobs[500:])
    fit_reference_scores(model, blobs[500:], training=blobs[:480])
    return model


@pytest.mark.parametrize("name", SCORES)
def test_noise_is_more_unusual_than_images_like_the_models_own(
    name: str, fitted: PAE, blobs: Tensor
) -> None:
    reference = SCORES[name](fitted, blobs[480:500])
    assert reference.shape == (20,)
    assert SCORES[name](fitted, torch.rand(20, 1, 28, 28)).median() > reference.max()


def test_scores_do_not_depend_on_the_company(fitted: PAE, blobs: Tensor) -> None:
    together = measure_scores(fitted, blobs[:5], list(SCORES))
    for name, values in together.items():
        torch.testing.assert_close(
            SCORES[name](fitted, blobs[3:4])[0], values[3], rtol=1e-3, atol=1e-4
        )


def test_log_prob_is_minus_the_models(fitted: PAE, blobs: Tensor) -> None:
    torch.testing.assert_close(fitted.score(blobs[:9]), -fitted.log_prob(blobs[:9]))


def test_typicality_is_the_distance_of_the_density_from_its_mean(
    fitted: PAE, blobs: Tensor
) -> None:
    usual = fitted.log_prob(fitting_part(blobs[500:])).mean()
    expected = (fitted.log_prob(blobs[:30]) - usual).abs()
    torch.testing.assert_close(fitted.score(blobs[:30], "typicality"), expected)
    # one that is likelier than usual is as unusual as one that is less likely
    assert (fitted.log_prob(blobs[:30]) > usual).any()
    assert (fitted.log_prob(blobs[:30]) < usual).any()


def test_errors_are_mean_squares_plain_and_in_units_of_sigma(fitted: PAE, blobs: Tensor) -> None:
    residual = blobs[:9] - fitted.reconstruct(blobs[:9])
    assert fitted.sigma.unique().numel() > 1
    for name, scale in (("reconstruction_error", 1), ("weighted_error", fitted.sigma)):
        expected = (residual / scale).square().mean((1, 2, 3))
        torch.testing.assert_close(fitted.score(blobs[:9], name), expected)


def test_bytes_and_floats_score_the_same(fitted: PAE, blobs: Tensor) -> None:
    pixels = (blobs[:4] * 255).round().to(torch.uint8)
    for name in FAST_SCORES:
        torch.testing.assert_close(SCORES[name](fitted, pixels), SCORES[name](fitted, pixels / 255))


def test_sigma_is_the_error_of_one_half_with_a_floor(fitted: PAE, blobs: Tensor) -> None:
    x = fitting_part(blobs[500:])
    error = (fitted.reconstruct(x) - x).square().mean(0).sqrt()
    torch.testing.assert_close(fitted.sigma, error.clamp_min(1 / 255))


def test_halves_share_no_image() -> None:
    images = torch.arange(40)
    assert fitting_part(images).tolist() == list(range(0, 40, 2))
    assert calibration_part(images).tolist() == list(range(1, 40, 2))


@pytest.mark.parametrize("count", [1, 2, 7, 26, 29, 38, 39])
def test_of_few_held_out_images_most_are_left_for_p_values(count: int) -> None:
    fitted, judges = fitting_part(torch.arange(count)), calibration_part(torch.arange(count))
    assert len(fitted) >= 1
    if count > 1:
        assert sorted([*fitted.tolist(), *judges.tolist()]) == list(range(count))
    assert len(judges) >= min(19, 2 * count // 3, max(count // 2, 1))


def test_reference_scores_ascend_and_are_of_the_other_half(fitted: PAE, blobs: Tensor) -> None:
    judges = calibration_part(blobs[500:])
    expected = {name: SCORES[name](fitted, judges) for name in FAST_SCORES}
    expected |= pixel_statistics(judges)
    expected[MAP_PEAK] = Ingredients(fitted, judges).residual_map.flatten(1).amax(1)
    assert fitted.reference_scores.keys() == expected.keys()
    for name, values in fitted.reference_scores.items():
        torch.testing.assert_close(values, expected[name].sort().values)
        assert values.dtype == torch.float32


def test_one_held_out_image_is_enough_to_go_on(trained_pae: PAE, blobs: Tensor) -> None:
    model = copy.deepcopy(trained_pae)
    model.fit_sigma(blobs[:1])
    fit_reference_scores(model, blobs[:1], training=blobs[1:2])
    assert model.p_value(blobs[:3], "combined").min() >= 0.5


def test_overflow_counts_as_most_unusual(fitted: PAE, blobs: Tensor) -> None:
    model = copy.deepcopy(fitted)
    model.require_flow().mean.fill_(float("nan"))
    scores = measure_scores(model, blobs[:2], FAST_SCORES)
    assert all(values.isfinite().all() for values in scores.values())
    assert (model.p_value(blobs[:2]) == 1 / 51).all()


def test_no_images_give_no_scores(fitted: PAE) -> None:
    assert SCORES["combined"](fitted, torch.zeros(0, 1, 28, 28)).shape == (0,)


def test_unknown_score_and_missing_reference_are_named(trained_pae: PAE, blobs: Tensor) -> None:
    with pytest.raises(UsageError, match="no score 'entropy'"):
        measure_scores(trained_pae, blobs[:1], ["entropy"])
    with pytest.raises(CheckpointError, match="--measure-only"):
        measure_scores(trained_pae, blobs[:1], ["combined"])
    with pytest.raises(CheckpointError, match="no reference scores of 'marginal_likelihood'"):
        trained_pae.p_value(blobs[:1], "marginal_likelihood")


def test_nearest_distance_is_to_the_nearest_training_image(fitted: PAE, blobs: Tensor) -> None:
    flow = fitted.require_flow()
    mine, training = (flow.whiten(fitted.encode(x)) for x in (blobs[500:520], blobs[:480]))
    expected = (mine[:, None] - training).norm(dim=2).amin(1)
    scores = SCORES["nearest_distance"](fitted, blobs[500:520])
    torch.testing.assert_close(scores, expected, rtol=0.01, atol=0.01)
    assert SCORES["nearest_distance"](fitted, blobs[:20]).max() < 0.01


def test_local_log_prob_is_the_difference_to_the_neighbours_mean(
    fitted: PAE, blobs: Tensor
) -> None:
    flow = fitted.require_flow()
    mine, training = (flow.whiten(fitted.encode(x)) for x in (blobs[500:510], blobs[:480]))
    # the 48 nearest count in full, and the next four less and less down to the 53rd
    distances, nearest = torch.cdist(mine, training.half().float()).topk(53, largest=False)
    inner, outer = distances[:, 47:48], distances[:, 52:]
    shares = ((outer - distances) / (outer - inner)).clamp(0, 1)
    usual = (shares * fitted.score(blobs[:480])[nearest]).sum(1) / shares.sum(1)
    expected = fitted.score(blobs[500:510]) - usual
    torch.testing.assert_close(
        SCORES["local_log_prob"](fitted, blobs[500:510]), expected, rtol=1e-3, atol=1e-3
    )


class LinearAutoencoder(Autoencoder):
    """Two pixels from one latent, so that the evidence is known in closed form."""

    def encode(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self.direction)[:, None]

    def decode(self, z: Tensor) -> Tensor:
        return (z * self.direction).view(-1, 1, 1, 2)

    def decode_along(self, z: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        changes = (directions * self.direction).view(1, -1, 1, 1, 2)
        return self.decode(z), changes.expand(len(z), -1, -1, -1, -1)


def linear_model() -> PAE:
    """z = 0.6 left + 0.8 right ~ N(0, 1): the brighter side is rather the left one."""
    autoencoder = LinearAutoencoder(network="mlp", image_shape=(1, 1, 2), latent_size=1, width=2)
    autoencoder.direction = torch.tensor([0.6, 0.8])
    return PAE(autoencoder, LatentFlow(kind="nsf", latent_size=1, blocks=0)).eval()


def test_orientation_is_the_log_ratio_of_the_turned_densities() -> None:
    x = torch.tensor([[[[0.9, 0.1]]], [[[0.1, 0.9]]], [[[0.5, 0.5]]]])
    scores = SCORES["orientation"](linear_model(), x)
    # z is 0.62, mirrored 0.78; upside down is the same image, since there is one row
    mirrored = exp(-0.5 * (0.78**2 - 0.62**2))
    assert scores[0].item() == pytest.approx(log((mirrored + 1 + mirrored) / 3), abs=1e-5)
    assert scores[1] > 0 > scores[0]
    assert scores[2].abs() < 1e-6


def test_marginal_likelihood_is_exact_for_a_linear_model() -> None:
    """At the posterior's peak the Laplace estimate of a Gaussian integral is the integral."""
    model = linear_model()
    direction = torch.tensor([0.6, 0.8])
    model.sigma.fill_(0.5)
    x = torch.tensor([[[[0.8, 0.0]]], [[[0.0, 0.0]]]])
    covariance = torch.outer(direction, direction) + 0.25 * torch.eye(2)
    flat = x.flatten(1)
    exact = 0.5 * ((flat @ covariance.inverse()) * flat).sum(1)
    exact = exact + 0.5 * covariance.logdet() + log(2 * pi)
    estimate = SCORES["marginal_likelihood"](model, x)
    torch.testing.assert_close(estimate[1], exact[1])
    # the encoder's latent 0.48 is not the peak 0.384: less joint density, so a larger score
    miss = 0.5 * (1 + 1 / 0.25) * (0.48 - 0.384) ** 2
    torch.testing.assert_close(estimate[0], exact[0] + miss)


@pytest.mark.parametrize("name", FAST_SCORES)
def test_false_positive_rate_holds_on_fresh_normal_images(name: str) -> None:
    """Images from the model itself, through the whole chain; 5,000 to calibrate, 5,000 fresh."""
    torch.manual_seed(0)
    small = Autoencoder(network="mlp", image_shape=(1, 4, 4), latent_size=2, width=8)
    model = PAE(small, LatentFlow(kind="nsf", latent_size=2, blocks=1, width=8)).eval()
    images = torch.rand(16_000, 1, 4, 4).cumsum(-1).div(4)
    held_out, fresh, training = images.split((10_000, 5_000, 1_000))
    model.fit_sigma(held_out)
    fit_reference_scores(model, held_out, training=training, names=[name])
    p = p_values(SCORES[name](model, fresh), model.reference_scores[name])
    for rate in (0.01, 0.05, 0.1):
        # both the fresh images and the reference scores are samples
        error = (rate * (1 - rate) * (1 / 5000 + 1 / 5000)) ** 0.5
        assert abs((p <= rate).double().mean() - rate) < 4 * error


@pytest.mark.parametrize(("side", "count"), [(48, 200), (128, 40)])
def test_marginal_likelihood_holds_the_jacobians_of_a_few_images(side: int, count: int) -> None:
    shape, latent_size = (3, side, side), 32
    model = PAE(
        Autoencoder(network="mlp", image_shape=shape, latent_size=latent_size, width=16),
        LatentFlow(kind="nsf", latent_size=latent_size, blocks=1, width=8),
    ).eval()
    # all Jacobians take 177 and 252 MB, and as much when stacked
    images = (torch.rand(count, *shape) * 255).byte()
    score = "marginal_likelihood"
    alone = measure_scores(model, images[:3], [score])[score]
    found: list[torch.Tensor] = []
    taken = peak_growth(lambda: found.append(measure_scores(model, images, [score])[score]))
    assert taken < 330e6
    torch.testing.assert_close(found[0][:3], alone, rtol=1e-4, atol=1e-2)
