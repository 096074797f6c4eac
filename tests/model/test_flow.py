"""Properties of every flow, in float64 unless precision is the point."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from paecli.model.flow import FLOWS, LatentFlow
from paecli.store.checkpoint import save_tensors

SIZES = (1, 2, 3, 33)
EVERY = [(kind, size) for kind in FLOWS for size in SIZES if size > 1 or kind == "nsf"]


def build(kind: str, size: int, **options: float) -> LatentFlow:
    """A flow with weights far enough from zero that no layer is the identity."""
    flow = LatentFlow(kind=kind, latent_size=size, blocks=4, width=16, **options)  # type: ignore[arg-type]
    flow.fit_whitening(correlated_latents(size))
    for name, parameter in flow.named_parameters():
        # FrEIA keeps its fixed permutations as parameters: only what trains may move
        if parameter.requires_grad:
            parameter.data += (0.05 if "lower" in name or "upper" in name else 0.1) * torch.randn(
                parameter.shape
            )
    return flow.double().eval()


def correlated_latents(size: int, count: int = 500) -> Tensor:
    mixing = torch.eye(size) + 0.3 * torch.randn(size, size) / size**0.5
    return 3 + 2 * torch.randn(count, size) @ mixing


@pytest.mark.parametrize("reach", [0.0, 1.0])
@pytest.mark.parametrize(("kind", "size"), EVERY)
def test_round_trip(kind: str, size: int, reach: float) -> None:
    flow = build(kind, size, reach=reach)
    z = correlated_latents(size, 50).double()
    u, _ = flow.to_base(z)
    torch.testing.assert_close(flow.from_base(u), z, atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(flow.to_base(flow.from_base(u))[0], u, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("reach", [0.0, 1.0])
@pytest.mark.parametrize(("kind", "size"), EVERY)
def test_log_determinant_is_that_of_the_jacobian(kind: str, size: int, reach: float) -> None:
    flow = build(kind, size, reach=reach)
    z = correlated_latents(size, 3).double()
    _, log_determinant = flow.to_base(z)
    for row, expected in zip(z, log_determinant, strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda one: flow.to_base(one.unsqueeze(0))[0][0], row
        )
        torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, expected)


@pytest.mark.parametrize(("kind", "size"), EVERY)
def test_gradients_reach_every_parameter_and_are_finite(kind: str, size: int) -> None:
    flow = build(kind, size)
    (-flow.log_prob(correlated_latents(size, 64).double()).mean()).backward()
    for name, parameter in flow.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(("kind", "size"), EVERY)
def test_saved_flow_loads_bit_equal(kind: str, size: int, tmp_path: Path) -> None:
    flow = build(kind, size).float()
    save_tensors(tmp_path / "flow.safetensors", dict(flow.state_dict()), {})
    loaded = LatentFlow(kind=kind, latent_size=size, blocks=4, width=16).eval()
    loaded.load_state_dict(load_file(tmp_path / "flow.safetensors"))
    z = correlated_latents(size, 20)
    assert torch.equal(loaded.log_prob(z), flow.log_prob(z))
    assert torch.equal(loaded.from_base(z), flow.from_base(z))


def test_density_of_one_latent_integrates_to_one() -> None:
    flow = build("nsf", 1)
    z = torch.linspace(-60, 60, 200_001, dtype=torch.float64).unsqueeze(1)
    total = torch.trapezoid(flow.log_prob(z).exp(), z.squeeze(1))
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-6, rtol=0)


def test_untrained_flow_is_a_permuted_whitening() -> None:
    flow = LatentFlow(kind="nsf", latent_size=3)
    z = correlated_latents(3)
    flow.fit_whitening(z)
    u, log_determinant = flow.to_base(z)
    torch.testing.assert_close(u.sort().values, flow.whiten(z).sort().values)
    torch.testing.assert_close(log_determinant, -flow.cholesky.logdet().expand(len(z)))


def test_whitened_latents_have_unit_covariance() -> None:
    flow = LatentFlow(kind="nsf", latent_size=5)
    z = correlated_latents(5)
    flow.fit_whitening(z)
    white = flow.whiten(z)
    torch.testing.assert_close(white.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(white.T.cov(), torch.eye(5), atol=1e-4, rtol=0)


def test_whitening_log_determinant_counts() -> None:
    flow = LatentFlow(kind="nsf", latent_size=2, blocks=2).double()
    z = correlated_latents(2).double()
    flow.fit_whitening(z)
    gaussian = torch.distributions.MultivariateNormal(flow.mean, scale_tril=flow.cholesky)
    torch.testing.assert_close(flow.log_prob(z), gaussian.log_prob(z))


@pytest.mark.parametrize("count", [1, 2, 40])
def test_whitening_survives_constant_and_too_few_latents(count: int) -> None:
    flow = LatentFlow(kind="nsf", latent_size=4)
    z = torch.randn(count, 4)
    z[:, 1] = 7.0
    flow.fit_whitening(z)
    assert flow.log_prob(z).isfinite().all()
    torch.testing.assert_close(flow.from_base(flow.to_base(z)[0]), z, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", FLOWS)
def test_empty_and_single_batches(kind: str) -> None:
    flow = build(kind, 4)
    for count in (0, 1):
        u, log_determinant = flow.to_base(torch.zeros(count, 4, dtype=torch.float64))
        assert u.shape == (count, 4)
        assert log_determinant.shape == (count,)
        assert flow.from_base(u).shape == (count, 4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), kind=st.sampled_from(FLOWS), size=st.integers(2, 9))
def test_any_flow_inverts_far_from_the_data(seed: int, kind: str, size: int) -> None:
    torch.manual_seed(seed)
    flow = build(kind, size)
    u = 3 * torch.randn(20, size, dtype=torch.float64)
    torch.testing.assert_close(flow.to_base(flow.from_base(u))[0], u, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", FLOWS)
def test_float32_round_trip_near_the_data(kind: str) -> None:
    flow = build(kind, 32).float()
    u = torch.randn(500, 32)
    assert (flow.to_base(flow.from_base(u))[0] - u).abs().max() < 1e-4


def steep(kind: str, size: int, *, reach: float) -> LatentFlow:
    """A flow whose subnets change as fast with their inputs as those of trained flows."""
    torch.manual_seed(0)
    flow = LatentFlow(kind=kind, latent_size=size, blocks=8, width=32, reach=reach)
    for name, parameter in flow.named_parameters():
        if parameter.requires_grad and "subnet" in name and parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=1.2 / parameter.shape[1] ** 0.5)
    return flow.eval()


def round_trip_errors(flow: LatentFlow, u: Tensor) -> Tensor:
    return (flow.to_base(flow.from_base(u))[0] - u).abs().amax(1)


@pytest.mark.parametrize("kind", ["nsf", "hybrid"])
def test_reach_lets_float32_invert_far_from_the_data(kind: str) -> None:
    far = 5 * torch.randn(300, 32)
    limited, free = (steep(kind, 32, reach=reach) for reach in (1.0, 0.0))
    assert round_trip_errors(limited, far).median() < 1e-3
    assert round_trip_errors(free, far).median() > 10 * round_trip_errors(limited, far).median()


def test_reach_changes_nothing_within_it() -> None:
    free, limited = (build("nsf", 6, reach=reach) for reach in (0.0, 50.0))
    limited.load_state_dict(free.state_dict())  # the weights bear the same names
    z = correlated_latents(6, 40).double()
    torch.testing.assert_close(limited.log_prob(z), free.log_prob(z), atol=0, rtol=0)
    far = 3 + 1000 * (z - 3)
    assert not torch.allclose(limited.log_prob(far), free.log_prob(far))


@pytest.mark.parametrize(("size", "blocks"), [(4, 8), (8, 10), (16, 12), (32, 18)])
def test_realnvp_of_the_papers_depths_inverts(size: int, blocks: int) -> None:
    flow = LatentFlow(
        kind="realnvp", latent_size=size, blocks=blocks, width=16, shift_only_blocks=4
    )
    for parameter in flow.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn(parameter.shape)
    flow = flow.double().eval()
    u = torch.randn(40, size, dtype=torch.float64)
    back, log_determinant = flow.to_base(flow.from_base(u))
    torch.testing.assert_close(back, u, atol=1e-8, rtol=1e-8)
    jacobian = torch.autograd.functional.jacobian(lambda one: flow.from_base(one[None])[0], u[0])
    torch.testing.assert_close(-torch.linalg.slogdet(jacobian).logabsdet, log_determinant[0])


@pytest.mark.parametrize("kind", FLOWS)
def test_seed_fixes_the_whole_flow(kind: str) -> None:
    flows = []
    for _ in range(2):
        torch.manual_seed(11)
        flows.append(LatentFlow(kind=kind, latent_size=6, blocks=3))
        torch.randn(5)
    first, second = (flow.state_dict() for flow in flows)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("components", [0, 3])
def test_autocast_does_not_touch_the_flow(components: int) -> None:
    flow = build("nsf", 8, components=components).float()
    z = correlated_latents(8, 10)
    with torch.autocast("cpu", torch.bfloat16):
        inside, back = flow.log_prob(z), flow.from_base(z)
    assert torch.equal(inside, flow.log_prob(z))
    assert torch.equal(back, flow.from_base(z))


def test_first_blocks_of_realnvp_may_only_shift() -> None:
    flow = build("realnvp", 4, shift_only_blocks=4)
    _, log_determinant = flow.to_base(correlated_latents(4, 5).double())
    whitening = -flow.cholesky.logdet()
    torch.testing.assert_close(log_determinant, whitening.expand(5))


@pytest.mark.parametrize("kind", FLOWS)
def test_density_is_that_of_the_base_changed_by_the_flow(kind: str, tmp_path: Path) -> None:
    flow = build(kind, 4, components=3)
    means = 2 * torch.randn(3, 4).double()
    flow.base.set(torch.tensor([0.2, 0.3, 0.5]), means, torch.eye(4).repeat(3, 1, 1) * 2)
    z = correlated_latents(4, 20).double()
    u, log_determinant = flow.to_base(z)
    torch.testing.assert_close(flow.log_prob(z), flow.base.log_prob(u) + log_determinant)
    cold = flow.sample(50, temperature=0.0, generator=torch.Generator().manual_seed(0))
    assert torch.cdist(cold, flow.from_base(means)).amin(1).max() < 1e-6
    flow, z = flow.float(), z.float()
    save_tensors(tmp_path / "flow.safetensors", dict(flow.state_dict()), {})
    loaded = LatentFlow(kind=kind, latent_size=4, blocks=4, width=16, components=3).eval()
    loaded.load_state_dict(load_file(tmp_path / "flow.safetensors"))
    assert torch.equal(loaded.log_prob(z), flow.log_prob(z))
    assert loaded.base.radius == flow.base.radius


def test_unknown_kind_and_affine_flow_over_one_latent_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown flow 'maf'; choose one of nsf"):
        LatentFlow(kind="maf", latent_size=4)
    with pytest.raises(ValueError, match="latent of size 1"):
        LatentFlow(kind="glow", latent_size=1)
