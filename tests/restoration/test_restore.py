"""Every method against the closed form of the linear Gaussian case."""

from dataclasses import replace

import pytest
import torch

from paecli.restoration.damage import check_damage
from paecli.restoration.modes import hessian, laplace_precision
from paecli.restoration.pixel_model import GaussianPixels
from paecli.restoration.restore import Damage, build_target, restore_images
from paecli.restoration.result import Restoration
from paecli.restoration.samplers import draws
from paecli.restoration.solve import METHODS

from .conftest import IMAGES, LATENT, SIDE, LinearCase

SAMPLING = [method for method in METHODS if method != "map"]


def restored(linear: LinearCase, method: str, **options: int) -> list[Restoration]:
    return restore_images(
        linear.damage,
        space=linear.space(),
        latent_size=LATENT,
        sigma=linear.sigma,
        inflation=torch.ones(len(linear.damage.data), dtype=torch.float64),
        pixels=GaussianPixels(linear.sigma.flatten()),
        method=method,
        **{"starts": 8, **options},
    )


def changed(linear: LinearCase) -> torch.Tensor:
    """Where the answer is not simply the input."""
    if linear.damage.operator is not None:
        return torch.ones(IMAGES, 1, SIDE, SIDE, dtype=torch.bool)
    noisy = torch.as_tensor(linear.damage.noise > 0).expand(IMAGES, 1, SIDE, SIDE)
    return ~linear.damage.observed | noisy


@pytest.mark.parametrize("method", METHODS)
def test_map_and_mean_are_exact(linear: LinearCase, method: str) -> None:
    where, expected = changed(linear), linear.pixel_mean()
    results = restored(linear, method)
    for name in ("map", "mean"):
        found = torch.stack([getattr(each, name) for each in results])
        torch.testing.assert_close(found[where], expected[where], atol=1e-4, rtol=0)


@pytest.mark.parametrize("method", SAMPLING)
def test_standard_deviation_is_exact(linear: LinearCase, method: str) -> None:
    where = changed(linear)
    found = torch.stack([each.std for each in restored(linear, method)])
    torch.testing.assert_close(found[where], linear.pixel_std()[where], atol=1e-4, rtol=0)


@pytest.mark.parametrize("method", SAMPLING)
def test_draws_follow_the_posterior(linear: LinearCase, method: str) -> None:
    for index, each in enumerate(restored(linear, method, samples=256)):
        offset = each.samples_u - linear.mean[index]
        factor = torch.linalg.cholesky(linear.covariance[index])
        standard = torch.linalg.solve_triangular(factor, offset.T, upper=False).T
        assert standard.mean(0).abs().max() < 0.35
        assert (standard.var(0) - 1).abs().max() < 0.45


def test_curvatures_agree_for_a_linear_decoder(linear: LinearCase) -> None:
    target = build_target(
        linear.damage,
        space=linear.space(),
        latent_size=LATENT,
        sigma=linear.sigma,
        inflation=torch.ones(IMAGES, dtype=torch.float64),
    )
    u = linear.mean[:, None]
    exact = torch.linalg.inv(linear.covariance)[:, None]
    for found in (
        hessian(target, u),
        laplace_precision(target, u),
        laplace_precision(target, u, curvature="hessian"),
    ):
        torch.testing.assert_close(found, exact, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("method", ["map", "laplace", "smc"])
def test_noise_maps_blur_and_small_images_are_exact(odd: LinearCase, method: str) -> None:
    where, results = changed(odd), restored(odd, method)
    expected = {"map": odd.pixel_mean(), "mean": odd.pixel_mean(), "std": odd.pixel_std()}
    for name in ("map",) if method == "map" else expected:
        found = torch.stack([getattr(each, name) for each in results])
        torch.testing.assert_close(found[where], expected[name][where], atol=1e-4, rtol=0)


def test_one_mode_of_full_weight(linear: LinearCase) -> None:
    for each in restored(linear, "mixture"):
        assert [mode.weight for mode in each.modes] == [pytest.approx(1.0)]


def test_auto_is_tempered_monte_carlo_that_settles(linear: LinearCase) -> None:
    for each in restored(linear, "auto"):
        assert each.method == "smc"
        assert each.note == ""
        assert each.diagnostics.passed
        assert each.diagnostics.disagreement is not None
        assert each.diagnostics.pareto_k is None


@pytest.mark.parametrize("method", METHODS)
def test_company_changes_nothing(linear: LinearCase, method: str) -> None:
    together = restored(linear, method)
    for index in range(IMAGES):
        damage = replace(
            linear.damage,
            data=linear.damage.data[index : index + 1],
            observed=linear.damage.observed[index : index + 1],
        )
        (alone,) = restored(replace(linear, damage=damage), method)
        assert torch.equal(alone.mean, together[index].mean)
        assert torch.equal(alone.predictive, together[index].predictive)


@pytest.mark.parametrize(
    ("method", "limit", "words"),
    [("is", "PARETO_LIMIT", "Pareto k"), ("hmc", "RHAT_LIMIT", "R-hat"),
     ("auto", "DISAGREEMENT_LIMIT", "--method smc"), ("smc", "EVIDENCE_LIMIT", "halves")],
)  # fmt: skip
def test_a_failed_diagnostic_is_said(
    linear: LinearCase, method: str, limit: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draws, limit, -1.0)
    for each in restored(linear, method):
        assert each.diagnostics.passed is False
        assert words in each.note


@pytest.mark.parametrize("method", SAMPLING)
def test_nothing_observed_is_said_to_be_drawn_from_the_prior(
    linear: LinearCase, method: str
) -> None:
    nothing = Damage(linear.damage.data, torch.zeros_like(linear.damage.observed), 0.0)
    for each in restored(replace(linear, damage=nothing), method):
        assert each.method == "prior"
        assert "drawn from the prior" in each.note
        assert each.diagnostics.passed is None


def test_equal_seeds_give_equal_answers(linear: LinearCase) -> None:
    first, second = (restored(linear, "smc", seed=5) for _ in range(2))
    assert all(torch.equal(a.predictive, b.predictive) for a, b in zip(first, second, strict=True))


def test_only_exact_pixels_are_pasted_back(linear: LinearCase) -> None:
    check_pasted(linear)


def test_only_exact_pixels_of_odd_cases_are_pasted_back(odd: LinearCase) -> None:
    check_pasted(odd)


def check_pasted(case: LinearCase) -> None:
    exact = ~changed(case)
    for index, each in enumerate(restored(case, "laplace")):
        assert torch.equal(each.std == 0, exact[index])
        if case.damage.operator is None:
            assert torch.equal(each.mean == case.damage.data[index], exact[index])


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_bytes_stand_for_zero_to_one(noise: float) -> None:
    images = torch.randint(256, (2, 1, 4, 4), dtype=torch.uint8)
    damage = check_damage(images, None, noise=noise, image_shape=(1, 4, 4))
    torch.testing.assert_close(damage.data, images.float() / 255)
