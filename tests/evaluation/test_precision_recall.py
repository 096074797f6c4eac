import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from paecli.evaluation.precision_recall import measure_precision_recall


def test_it_is_the_count_of_balls_by_scikit_learn() -> None:
    real, generated = torch.randn(90, 3), torch.randn(70, 3) + 0.5
    result = measure_precision_recall(real, generated, neighbours=4)

    def radii(x: torch.Tensor) -> np.ndarray:
        # without arguments a point is not its own neighbour
        return NearestNeighbors(n_neighbors=4).fit(x.numpy()).kneighbors()[0][:, -1]

    between = np.linalg.norm(real.numpy()[:, None] - generated.numpy()[None], axis=2)
    in_real, in_generated = between <= radii(real)[:, None], between <= radii(generated)[None]
    assert result.precision == pytest.approx(in_real.any(0).mean())
    assert result.recall == pytest.approx(in_generated.any(1).mean())
    assert result.density == pytest.approx(in_real.sum() / (4 * 70))
    assert result.coverage == pytest.approx(in_real.any(1).mean())


def test_equal_distributions_overlap_fully() -> None:
    result = measure_precision_recall(torch.randn(1500, 2), torch.randn(1500, 2))
    assert result.precision > 0.95
    assert result.recall > 0.95
    assert result.density == pytest.approx(1, abs=0.1)
    assert result.coverage > 0.9


def test_distant_sets_do_not_overlap() -> None:
    result = measure_precision_recall(torch.randn(100, 4), torch.randn(120, 4) + 100)
    assert result.precision == result.recall == result.density == result.coverage == 0


def test_a_collapsed_generator_is_precise_but_recalls_little() -> None:
    real = torch.randn(500, 2)
    collapsed = 0.05 * torch.randn(500, 2)
    result = measure_precision_recall(real, collapsed)
    assert result.precision == 1
    assert result.recall < 0.1
    assert result.coverage < 0.1


def test_one_outlier_does_not_spoil_density_and_coverage() -> None:
    real = torch.cat((torch.randn(500, 2), torch.tensor([[60.0, 0.0]])))
    between = torch.randn(500, 2) + torch.tensor([30.0, 0.0])
    result = measure_precision_recall(real, between)
    # precision is fooled by the outlier's one huge ball
    assert result.precision > 0.5
    assert result.density < 0.25
    assert result.coverage < 0.05


def test_strips_do_not_change_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    real, generated = torch.randn(70, 3), torch.randn(50, 3)
    whole = measure_precision_recall(real, generated)
    monkeypatch.setattr("paecli.evaluation.precision_recall.ROWS", 16)
    assert measure_precision_recall(real, generated) == whole


def test_intervals_hold_their_value() -> None:
    result = measure_precision_recall(torch.randn(300, 3), torch.randn(300, 3) + 0.5)
    for name in ("precision", "recall", "density", "coverage"):
        low, high = getattr(result, f"{name}_ci")
        assert low <= getattr(result, name) <= high
