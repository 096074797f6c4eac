"""The linear layers between couplings."""

import pytest
import torch
from torch import Tensor

from paecli.model.mixing import LinearLU, Permute


def disturbed(layer: LinearLU) -> LinearLU:
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return layer.double()


def test_lu_layer_starts_as_a_permutation() -> None:
    x = torch.randn(4, 6)
    (y,), log_determinant = LinearLU([(6,)])([x])
    torch.testing.assert_close(y.sort().values, x.sort().values)
    assert torch.equal(log_determinant, torch.zeros(4))


@pytest.mark.parametrize("size", [1, 2, 7])
def test_lu_layer_inverts_and_knows_its_determinant(size: int) -> None:
    layer = disturbed(LinearLU([(size,)]))
    x = torch.randn(3, size, dtype=torch.float64)

    def apply(row: Tensor) -> Tensor:
        result: Tensor = layer([row.unsqueeze(0)])[0][0][0]
        return result

    (y,), log_determinant = layer([x])
    (back,), back_determinant = layer([y], rev=True)
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(back_determinant, -log_determinant)
    jacobian = torch.autograd.functional.jacobian(apply, x[0])
    torch.testing.assert_close(log_determinant[0], torch.linalg.slogdet(jacobian).logabsdet)


def test_permute_inverts_and_follows_torch_seed() -> None:
    torch.manual_seed(3)
    first = Permute([(9,)])
    torch.manual_seed(3)
    second = Permute([(9,)])
    x = torch.randn(2, 9)
    (y,), log_determinant = first([x])
    assert torch.equal(second([y], rev=True)[0][0], x)
    assert torch.equal(log_determinant, torch.zeros(2))
