import pytest
import torch
from torch import Tensor, nn

from paecli.training import muon
from paecli.training.muon import RMS, Muon, as_matrices, orthogonalise


def singular_values(matrices: Tensor) -> Tensor:
    return torch.linalg.svdvals(matrices.float())


@pytest.mark.parametrize("shape", [(1, 48, 48), (3, 20, 60)])
def test_singular_values_come_near_one(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    flattened = orthogonalise(torch.randn(shape))
    assert flattened.shape == shape
    values = singular_values(flattened)
    assert values.max() < 1.3
    assert values.median() > 0.6


def test_singular_vectors_stay() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(1, 16, 40)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    cosine = nn.functional.cosine_similarity(
        orthogonalise(matrix).float().flatten(), (u @ v).flatten(), dim=0
    )
    assert cosine > 0.95


def test_matrices_of_a_batch_do_not_mix() -> None:
    torch.manual_seed(0)
    both = torch.randn(2, 8, 8)
    alone = orthogonalise(both[1:])
    assert torch.allclose(orthogonalise(both)[1:].float(), alone.float(), atol=0.02)


def test_nothing_moves_without_a_gradient() -> None:
    assert torch.equal(orthogonalise(torch.zeros(1, 4, 4)).float(), torch.zeros(1, 4, 4))
    weight = nn.Parameter(torch.ones(4, 4))
    Muon([weight], lr=0.1, weight_decay=0.1).step()
    assert torch.equal(weight, torch.ones(4, 4))


@pytest.mark.parametrize(
    ("shape", "matrices"),
    [
        ((512, 500), (8, 64, 500)),
        ((48, 500), (1, 48, 500)),
        ((32, 3136), (1, 32, 3136)),
        ((3136, 512), (49, 64, 512)),
        ((64, 32, 3, 3), (1, 64, 288)),
        ((404, 10), (101, 4, 10)),
    ],
)
def test_matrices_are_cut_into_equal_blocks_of_rows(
    shape: tuple[int, ...], matrices: tuple[int, int, int]
) -> None:
    assert as_matrices(torch.zeros(shape)).shape == matrices


@pytest.mark.parametrize("shape", [(40, 40), (600, 40), (32, 16, 3, 3)])
def test_a_step_is_as_large_as_one_of_adamw(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(shape))
    weight.grad = torch.randn(shape)
    Muon([weight], lr=0.01, weight_decay=0.0).step()
    assert weight.square().mean().sqrt().item() == pytest.approx(0.01 * RMS, rel=0.4)


def test_weights_decay_by_the_learning_rate() -> None:
    weight = nn.Parameter(torch.ones(4, 4))
    weight.grad = torch.zeros(4, 4)
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    assert torch.allclose(weight, torch.full((4, 4), 0.95))


def test_memory_layout_makes_no_difference() -> None:
    torch.manual_seed(0)
    start, gradient = torch.randn(16, 8, 3, 3), torch.randn(16, 8, 3, 3)
    moved = []
    for layout in (torch.contiguous_format, torch.channels_last):
        weight = nn.Parameter(start.clone(memory_format=layout))
        weight.grad = gradient.clone(memory_format=layout)
        Muon([weight], lr=0.1, weight_decay=0.0).step()
        moved.append(weight.detach())
    assert torch.equal(moved[0], moved[1])


def test_a_valley_is_followed_to_its_floor() -> None:
    torch.manual_seed(0)
    goal = torch.randn(40, 40)
    weight = nn.Parameter(torch.zeros(40, 40))
    optimiser = Muon([weight], lr=0.05, weight_decay=0.0)
    for step in range(200):
        optimiser.param_groups[0]["lr"] = 0.5 * (1 - step / 200)
        optimiser.zero_grad()
        (weight - goal).square().sum().backward()
        optimiser.step()
    assert (weight - goal).square().mean() < 0.01


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_serves_only_where_the_hardware_multiplies_in_it(
    fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(muon, "has_fast_bfloat16", lambda _device: fast)
    matrix = torch.randn(1, 16, 40, generator=torch.Generator().manual_seed(0))
    flattened = orthogonalise(matrix)
    assert flattened.dtype == (torch.bfloat16 if fast else torch.float32)
    monkeypatch.setattr(muon, "has_fast_bfloat16", lambda _device: not fast)
    torch.testing.assert_close(flattened.float(), orthogonalise(matrix).float(), atol=0.03, rtol=0)


def test_what_the_processor_says_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    for said, expected in [({"avx512_bf16": True}, True), ({"avx2": True}, False)]:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda said=said: said)
        muon.has_fast_bfloat16.cache_clear()
        assert muon.has_fast_bfloat16("cpu") is expected
    muon.has_fast_bfloat16.cache_clear()
    assert not muon.has_fast_bfloat16("mps")
    muon.has_fast_bfloat16.cache_clear()
