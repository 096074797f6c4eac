import pytest
import torch

from paecli.evaluation.kid import kernel_distance, squared_discrepancy


def test_it_is_the_textbook_sum() -> None:
    a, b = torch.rand(2, 5, 3, dtype=torch.float64)

    def kernel(x: torch.Tensor, y: torch.Tensor) -> float:
        return float((x @ y / 3 + 1) ** 3)

    pairs = [(i, j) for i in range(5) for j in range(5)]
    within = sum(kernel(x[i], x[j]) for x in (a, b) for i, j in pairs if i != j) / 20
    between = sum(kernel(a[i], b[j]) for i, j in pairs) / 25
    assert squared_discrepancy(a, b).item() == pytest.approx(within - 2 * between)


def test_it_is_unbiased_between_equal_distributions() -> None:
    values = torch.stack(
        [squared_discrepancy(torch.randn(20, 4), torch.randn(20, 4)) for _ in range(400)]
    )
    assert abs(values.mean()) < 4 * values.std() / 400**0.5
    assert values.min() < 0


def test_it_grows_with_the_shift() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(400, 6)
    values = [
        kernel_distance(a, torch.randn(400, 6) + shift, subsets=10, generator=generator).value
        for shift in (0.0, 0.5, 1.0, 2.0)
    ]
    assert values == sorted(values)


def test_the_interval_holds_the_value_of_large_sets() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = squared_discrepancy(torch.randn(8000, 3), torch.randn(8000, 3) + 1).item()
    hits = 0
    for _ in range(40):
        estimate = kernel_distance(
            torch.randn(200, 3), torch.randn(200, 3) + 1,
            subsets=20, subset_size=50, generator=generator,
        )  # fmt: skip
        hits += estimate.ci[0] <= truth <= estimate.ci[1]
    assert hits >= 32


def test_small_sets_give_smaller_subsets() -> None:
    result = kernel_distance(torch.rand(30, 3), torch.rand(40, 3), generator=torch.Generator())
    assert result.ci[0] < result.value < result.ci[1]
