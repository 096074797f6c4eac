import torch
from torch import Tensor

from paecli.restoration.samplers.hamiltonian import acceptance, kinetic, leapfrog

COVARIANCE = torch.tensor([[2.0, 0.6], [0.6, 0.5]]).double()


def evaluate(u: Tensor) -> tuple[Tensor, Tensor]:
    gradient = -u @ torch.linalg.inv(COVARIANCE)
    return 0.5 * (u * gradient).sum(-1), gradient


def follow(u: Tensor, momentum: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    factors = torch.linalg.cholesky(COVARIANCE).expand(1, 1, 2, 2)
    step = torch.full((1, 1, 1), 0.3).double()
    return leapfrog(
        u, momentum, evaluate(u)[1], factors=factors, step=step, steps=5, evaluate=evaluate
    )


def test_a_trajectory_can_be_followed_back() -> None:
    u, momentum = torch.randn(2, 1, 4, 2, generator=torch.Generator().manual_seed(0)).double()
    there, end, _ = follow(u, momentum)
    back, _, _ = follow(there, -end)
    assert not torch.allclose(there, u, atol=0.1)
    torch.testing.assert_close(back, u)


def test_energy_is_nearly_kept() -> None:
    u, momentum = torch.randn(2, 1, 4, 2, generator=torch.Generator().manual_seed(1)).double()
    _, end, log_prob = follow(u, momentum)
    energy = kinetic(momentum) - evaluate(u)[0]
    torch.testing.assert_close(kinetic(end) - log_prob, energy, atol=0.1, rtol=0.05)


def test_nan_is_never_accepted() -> None:
    probabilities = acceptance(torch.tensor([float("nan"), -torch.inf, 0.0, 3.0]))
    assert probabilities.tolist() == [0, 0, 1, 1]
