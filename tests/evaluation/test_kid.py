import pytest
import torch

from paecli.evaluation import kid
from paecli.evaluation.kid import kernel_distance, mean_kernel


@pytest.mark.parametrize("rows", [2, 1000])
def test_it_is_the_textbook_sum(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kid, "ROWS", rows)
    a, b = torch.rand(5, 3, dtype=torch.float64), 2 * torch.rand(7, 3, dtype=torch.float64)

    def kernel(x: torch.Tensor, y: torch.Tensor) -> float:
        return float((x @ y / 3 + 1) ** 3)

    def within(x: torch.Tensor) -> float:
        n = len(x)
        pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
        return sum(kernel(x[i], x[j]) for i, j in pairs) / len(pairs)

    between = sum(kernel(x, y) for x in a for y in b) / 35
    expected = pytest.approx(within(a) + within(b) - 2 * between)
    assert kernel_distance(a, b).value == expected
    assert kernel_distance(a, b, within_a=mean_kernel(a)).value == expected


def test_it_is_unbiased_between_equal_distributions() -> None:
    values = torch.tensor(
        [kernel_distance(torch.randn(20, 4), torch.randn(20, 4)).value for _ in range(400)]
    )
    assert abs(values.mean()) < 4 * values.std() / 400**0.5
    assert values.min() < 0


def test_it_grows_with_the_shift() -> None:
    a = torch.randn(400, 6)
    values = [
        kernel_distance(a, torch.randn(400, 6) + shift).value for shift in (0.0, 0.5, 1.0, 2.0)
    ]
    assert values == sorted(values)


@pytest.mark.parametrize(("shift", "widest"), [(0.0, 2.0), (1.0, 1.25)])
def test_the_interval_is_as_wide_as_the_estimate_scatters(shift: float, widest: float) -> None:
    results = [
        kernel_distance(torch.randn(200, 3), torch.randn(150, 3) + shift) for _ in range(200)
    ]
    scatter = torch.tensor([result.value for result in results]).std().item()
    halves = torch.tensor([(result.ci[1] - result.ci[0]) / 2 for result in results])
    assert 0.8 < halves.mean().item() / 1.96 / scatter < widest


def test_features_in_single_precision_are_precise_enough() -> None:
    a, b = 3 + torch.randn(2, 300, 64)
    exact = kernel_distance(a.double(), b.double())
    assert kernel_distance(a, b).value == pytest.approx(exact.value, abs=1e-5)
