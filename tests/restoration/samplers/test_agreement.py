import pytest
import torch
from torch import Tensor

from paecli.model.base_distribution import StandardGaussian
from paecli.restoration.samplers.agreement import Halves
from paecli.restoration.samplers.draws import make_draws
from paecli.restoration.target import Target

SIZE, PIXELS = 4000, 6


def halves(images: Tensor, *, gap: float = 0.0, families: int = SIZE) -> Halves:
    log_weights = torch.stack([torch.zeros(SIZE), torch.full((SIZE,), gap)])
    return Halves(images, log_weights, torch.arange(SIZE).repeat(2, 1) % families)


@pytest.fixture
def images() -> Tensor:
    return 0.1 * torch.randn(2, SIZE, PIXELS, generator=torch.Generator().manual_seed(0))


def test_a_shift_is_measured_in_posterior_standard_deviations(images: Tensor) -> None:
    assert halves(images).disagreement() < 0.05
    images[1] += 0.05
    assert halves(images).disagreement() == pytest.approx(0.5, abs=0.05)


def test_pixels_that_do_not_vary_do_not_count() -> None:
    assert halves(torch.full((2, SIZE, PIXELS), 0.3)).disagreement() == 0


def test_the_gap_is_that_of_the_evidences(images: Tensor) -> None:
    assert halves(images, gap=-2.5).evidence_gap() == pytest.approx(2.5, abs=1e-4)


def test_draws_count_by_the_ancestors_they_share(images: Tensor) -> None:
    independent = halves(images)
    assert independent.effective_size() == pytest.approx(2 * SIZE, rel=0.1)
    assert independent.ancestors() == SIZE
    images += 3 * torch.randn(2, 5, PIXELS).repeat_interleave(SIZE // 5, 1)
    related = Halves(
        images, torch.zeros(2, SIZE), torch.arange(5).repeat_interleave(SIZE // 5).repeat(2, 1)
    )
    assert related.effective_size() < 15
    assert related.ancestors() == 5


@pytest.mark.parametrize("name", ["disagreement", "evidence_gap", "ancestors", "ess"])
@pytest.mark.parametrize("value", [float("nan"), None])
def test_what_is_bad_or_unknown_never_passes(name: str, value: float | None) -> None:
    good = {"disagreement": 0.1, "evidence_gap": 0.1, "ancestors": 20.0, "ess": 50.0}
    assert passed(good)
    bad = -1.0 if name in ("ancestors", "ess") else 1e3
    assert not passed(good | {name: bad if value is None else value})


def test_nan_images_give_nan_which_does_not_pass(images: Tensor) -> None:
    images[0, 3, 2] = torch.nan
    assert not halves(images).disagreement() <= 1e9
    assert halves(images).effective_size() == 0


@pytest.mark.parametrize("method", ["is", "hmc", "smc"])
def test_draws_without_their_diagnostic_do_not_pass(method: str) -> None:
    found = make_draws(
        blank_target(), torch.zeros(1, 1, 2), torch.zeros(1, 1, 2), ess=torch.ones(1)
    )
    verdict = found.passed(method)
    assert verdict is not None
    assert not verdict.any()


def passed(diagnostics: dict[str, float]) -> bool:
    points = torch.zeros(1, 1, 2)
    values = {name: torch.tensor([value]) for name, value in diagnostics.items()}
    draws = make_draws(blank_target(), points, points, **values)
    verdict = draws.passed("smc")
    return verdict is not None and bool(verdict)


def blank_target() -> Target:
    data = torch.zeros(1, 2)
    return Target(lambda u: u, data, data + 1, data.bool(), 2, StandardGaussian(2))
