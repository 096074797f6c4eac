import pytest
import torch

from paecli.model.autoencoder import Autoencoder
from paecli.system.errors import TrainingError
from paecli.training.muon import Muon
from paecli.training.optimisers import build_optimisers, learning_rate_at, restore_moments
from paecli.training.settings import OptimiserSettings


def network() -> Autoencoder:
    return Autoencoder(network="resnet", image_shape=(1, 28, 28), latent_size=4, channels=8)


@pytest.mark.parametrize("method", ["adamw", "muon"])
def test_every_parameter_belongs_to_exactly_one_group(method: str) -> None:
    module = network()
    settings = OptimiserSettings(method=method)
    groups = [group for each in build_optimisers(module, settings) for group in each.param_groups]
    owned = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(owned) == sorted(id(parameter) for parameter in module.parameters())


def test_muon_gets_wide_matrices_and_filters() -> None:
    module = Autoencoder(network="resnet", image_shape=(1, 28, 28), latent_size=4, channels=32)
    _, muon = build_optimisers(module, OptimiserSettings(method="muon"))
    assert isinstance(muon, Muon)
    taken = muon.param_groups[0]["params"]
    assert {parameter.ndim for parameter in taken} == {2, 4}
    assert all(min(parameter.flatten(1).shape) >= 32 for parameter in taken)


def test_biases_and_norms_do_not_decay() -> None:
    (adamw,) = build_optimisers(network(), OptimiserSettings(weight_decay=0.1))
    for group in adamw.param_groups:
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])


def step_once(optimiser: torch.optim.Optimizer) -> None:
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    optimiser.step()


def gathered(optimiser: torch.optim.Optimizer) -> dict[int, dict[str, torch.Tensor]]:
    return {number: dict(own) for number, own in optimiser.state_dict()["state"].items()}


def test_moments_come_back() -> None:
    settings = OptimiserSettings(method="muon")
    for before, after in zip(
        build_optimisers(network(), settings), build_optimisers(network(), settings), strict=True
    ):
        step_once(before)
        restore_moments(after, gathered(before))
        for number, own in gathered(before).items():
            for name, value in own.items():
                assert torch.equal(gathered(after)[number][name], value)


def test_moments_of_other_optimisers_are_refused() -> None:
    (before,) = build_optimisers(network(), OptimiserSettings(method="adamw"))
    after, _ = build_optimisers(network(), OptimiserSettings(method="muon"))
    step_once(before)
    with pytest.raises(TrainingError, match="--overwrite"):
        restore_moments(after, gathered(before))


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    settings = OptimiserSettings(learning_rate=1.0, warmup=0.2)
    rates = [learning_rate_at(fraction / 100, settings) for fraction in range(101)]
    assert 0 < rates[0] < 0.05
    assert rates[20] == pytest.approx(1.0)
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[100] == pytest.approx(0.0, abs=1e-9)


def test_constant_schedule_stays_after_warm_up() -> None:
    settings = OptimiserSettings(learning_rate=0.5, warmup=0.1, schedule="constant")
    assert learning_rate_at(0.9, settings) == 0.5
