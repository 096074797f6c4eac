"""What counts as a good diagnostic, at the very limits; where draws are thinned and put back."""

import math
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from paecli.restoration.samplers.draws import (
    DISAGREEMENT_LIMIT,
    EVIDENCE_LIMIT,
    FEWEST_ANCESTORS,
    FEWEST_DRAWS,
    PARETO_LIMIT,
    RHAT_LIMIT,
    Draws,
    make_draws,
)

from .posteriors import curved, target_for


def limits(**changed: float) -> Draws:
    """Draws of one image whose halves agree as little as is allowed."""
    values = {
        "pareto_k": 0.0, "rhat": RHAT_LIMIT, "ess": math.ceil(FEWEST_DRAWS),
        "disagreement": DISAGREEMENT_LIMIT, "evidence_gap": EVIDENCE_LIMIT,
        "ancestors": FEWEST_ANCESTORS,
    }  # fmt: skip
    points = torch.zeros(1, 2, 3)
    tensors = {
        name: torch.tensor([value], dtype=torch.float64)
        for name, value in (values | changed).items()
    }
    return Draws(points=points, gradient=points, **tensors)


def test_the_limits_themselves_are_good() -> None:
    assert limits().halves_agree.tolist() == [True]
    assert limits().passed("smc").tolist() == [True]  # type: ignore[union-attr]
    assert limits().passed("hmc").tolist() == [True]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "worse",
    [
        {"disagreement": DISAGREEMENT_LIMIT + 1e-6}, {"evidence_gap": EVIDENCE_LIMIT + 1e-6},
        {"ancestors": FEWEST_ANCESTORS - 1}, {"ess": math.ceil(FEWEST_DRAWS) - 1},
        {"disagreement": math.nan}, {"evidence_gap": math.nan},
    ],
    ids=str,
)  # fmt: skip
def test_beyond_a_limit_halves_do_not_agree(worse: dict[str, float]) -> None:
    assert limits(**worse).halves_agree.tolist() == [False]
    assert limits(**worse).passed("smc").tolist() == [False]  # type: ignore[union-attr]


def test_limits_of_the_other_methods() -> None:
    def passed(method: str, **values: float) -> list[bool]:
        found = limits(**values).passed(method)
        assert found is not None
        return found.tolist()

    assert passed("is", pareto_k=PARETO_LIMIT - 1e-6) == [True]
    assert passed("is", pareto_k=PARETO_LIMIT) == passed("is", pareto_k=math.nan) == [False]
    assert passed("hmc", rhat=RHAT_LIMIT + 1e-6) == passed("hmc", rhat=math.nan) == [False]
    assert limits().passed("laplace") is None
    assert limits().passed("map") is None


def test_diagnostics_that_are_not_given_are_unknown() -> None:
    target = target_for(curved, torch.zeros(2, 6), 0.4)
    points = torch.ones(2, 5, 2, dtype=torch.float64)
    draws = make_draws(target, points, 2 * points, ess=torch.ones(2), rhat=torch.full((2,), 1.5))
    assert draws.points.dtype == draws.gradient.dtype == torch.float32
    assert (draws.gradient == 2).all()
    assert draws.rhat.tolist() == [1.5, 1.5]
    for name in ("pareto_k", "disagreement", "evidence_gap", "ancestors"):
        assert getattr(draws, name).isnan().all()


def test_draws_of_some_images_are_replaced() -> None:
    def numbered(images: list[float]) -> Draws:
        values = torch.tensor(images)
        plain = Draws(**{each.name: values for each in fields(Draws)})
        return replace(plain, points=values.view(-1, 1, 1), gradient=-values.view(-1, 1, 1))

    put = numbered([0, 1, 2, 3]).put(torch.tensor([1, 3]), numbered([10, 30]))

    def first(values: Tensor) -> list[float]:
        return values.flatten().tolist()

    assert first(put.points) == [0, 10, 2, 30]
    assert first(put.gradient) == [0, -10, -2, -30]
    assert first(put.ess) == first(put.rhat) == [0, 10, 2, 30]
