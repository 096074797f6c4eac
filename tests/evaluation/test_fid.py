import numpy as np
import pytest
import torch
from scipy import linalg
from torch import Tensor

from paecli.evaluation.fid import frechet_distance, frechet_standard_error, gaussian_statistics


def distance_between(a: Tensor, b: Tensor) -> float:
    return frechet_distance(gaussian_statistics(a), gaussian_statistics(b))


def by_matrix_square_root(a: Tensor, b: Tensor) -> float:
    """Computes the textbook formula with SciPy's general matrix square root."""
    a, b = a.double(), b.double()
    covariance_a, covariance_b = np.cov(a.numpy().T), np.cov(b.numpy().T)
    root = linalg.sqrtm(covariance_a @ covariance_b)
    shift = (a.mean(0) - b.mean(0)).square().sum().item()
    return float(shift + np.trace(covariance_a + covariance_b - 2 * root.real))


@pytest.mark.parametrize("count", [500, 12])
def test_it_agrees_with_the_matrix_square_root(count: int) -> None:
    mixing = torch.randn(8, 8)
    a, b = torch.randn(count, 8), torch.randn(count + 3, 8) @ mixing + 0.3
    assert distance_between(a, b) == pytest.approx(by_matrix_square_root(a, b), rel=1e-8)


def test_it_agrees_with_pytorch_fid(monkeypatch: pytest.MonkeyPatch) -> None:
    from pytorch_fid import fid_score

    # its call with disp=False is deprecated in SciPy and gone from 1.18
    root = linalg.sqrtm
    monkeypatch.setattr(fid_score.linalg, "sqrtm", lambda x, disp: (root(x), None))
    a, b = torch.rand(300, 64).relu(), (torch.rand(300, 64) - 0.2).relu()
    expected = fid_score.calculate_frechet_distance(
        *(statistic for x in (a, b) for statistic in (x.mean(0).double().numpy(), np.cov(x.T)))
    )
    assert distance_between(a, b) == pytest.approx(expected, rel=1e-6)


def test_known_gaussians() -> None:
    # standardised exactly: mean 0 and unit covariance
    x = torch.randn(1000, 3, dtype=torch.float64)
    x = x - x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.qr(x, mode="r").R) * 999**0.5
    scales, shift = torch.tensor([2.0, 1.0, 0.5]), torch.tensor([3.0, 0.0, 4.0])
    # per axis (1 - s)^2, and the squared shift
    assert distance_between(x, x * scales + shift) == pytest.approx(1 + 0.25 + 25)


def test_fewer_vectors_than_features() -> None:
    # both lie in the first 3 of 40 features, where the distance can be computed in full rank
    a, b = torch.randn(20, 3), 2 * torch.randn(20, 3) + 1
    padded = [torch.cat((x, torch.zeros(20, 37)), 1) for x in (a, b)]
    assert distance_between(*padded) == pytest.approx(distance_between(a, b), rel=1e-10)


def test_features_that_are_always_zero_do_no_harm() -> None:
    a, b = torch.randn(100, 4), torch.randn(100, 4)
    expected = distance_between(a[:, :3], b[:, :3])
    a[:, 3] = b[:, 3] = 0
    assert distance_between(a, b) == pytest.approx(expected, rel=1e-10)


def test_a_set_is_at_no_distance_from_itself() -> None:
    x = torch.randn(200, 16)
    assert distance_between(x, x) == pytest.approx(0, abs=1e-9)


def test_it_is_symmetric() -> None:
    a, b = torch.randn(60, 5), torch.randn(80, 5) + 1
    assert distance_between(a, b) == pytest.approx(distance_between(b, a))


def test_the_bootstrap_error_is_that_of_fresh_draws() -> None:
    generator = torch.Generator().manual_seed(0)

    def draw() -> tuple[Tensor, Tensor]:
        a, b = torch.randn(2, 400, 4, generator=generator)
        return a, b + 0.5

    fresh = torch.tensor([distance_between(*draw()) for _ in range(150)]).std().item()
    steps = []
    error = frechet_standard_error(
        *draw(), resamples=100, generator=generator, after_each=lambda: steps.append(1)
    )
    assert 0.6 * fresh < error < 1.6 * fresh
    assert len(steps) == 100
