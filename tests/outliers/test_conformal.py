import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paecli.outliers.conformal import benjamini_hochberg, p_values


def test_p_values_count_the_normal_scores_that_reach_the_score() -> None:
    reference = torch.tensor([1.0, 2.0, 2.0, 3.0])
    scores = torch.tensor([0.0, 1.0, 2.0, 2.5, 3.0, 9.0])
    expected = torch.tensor([5, 5, 4, 2, 2, 1], dtype=torch.float64) / 5
    torch.testing.assert_close(p_values(scores, reference), expected)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1])
def test_false_positives_keep_to_the_rate(rate: float) -> None:
    """Over many calibrations, fresh reference scores are flagged as often as was asked for."""
    generator = torch.Generator().manual_seed(0)
    shares = [
        (p_values(torch.randn(500, generator=generator), reference) <= rate).double().mean()
        for reference in torch.randn(200, 999, generator=generator).sort(1).values
    ]
    mean, error = torch.stack(shares).mean(), torch.stack(shares).std() / 200**0.5
    assert abs(mean - rate) < 4 * error


def test_ties_never_flag_too_much() -> None:
    reference = torch.zeros(100)
    assert (p_values(torch.zeros(50), reference) == 1).all()


def test_benjamini_hochberg_on_the_example_of_its_paper() -> None:
    p = torch.tensor(
        [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
         0.5719, 0.6528, 0.7590, 1.0], dtype=torch.float64,
    )  # fmt: skip
    assert benjamini_hochberg(p, 0.05).sum() == 4
    order = torch.randperm(15)
    assert torch.equal(benjamini_hochberg(p[order], 0.05), benjamini_hochberg(p, 0.05)[order])


def test_benjamini_hochberg_steps_up() -> None:
    """A p-value above its own line is flagged when a larger one is below its line."""
    p = torch.tensor([0.04, 0.05], dtype=torch.float64)
    assert benjamini_hochberg(p, 0.05).tolist() == [True, True]


@given(st.lists(st.floats(0.001, 1), max_size=30), st.floats(0.01, 0.5))
def test_benjamini_hochberg_flags_the_smallest(p: list[float], rate: float) -> None:
    values = torch.tensor(p, dtype=torch.float64)
    flagged = benjamini_hochberg(values, rate)
    if flagged.any():
        assert not (~flagged & (values <= values[flagged].max())).any()
        line = rate * flagged.sum().item() / len(p)
        assert values[flagged].max().item() <= line * (1 + 1e-12)
