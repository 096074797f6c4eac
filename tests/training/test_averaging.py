import torch
from torch import nn

from paecli.model.flow import LatentFlow
from paecli.training.averaging import WeightAverage


def test_average_of_still_weights_is_the_weights() -> None:
    module = nn.Linear(3, 2)
    average = WeightAverage(module, decay=0.9)
    for _ in range(5):
        average.update(module)
    assert torch.allclose(average.weights["weight"], module.weight)


def test_average_lags_behind_a_jump_and_follows_it() -> None:
    module = nn.Linear(1, 1, bias=False)
    module.weight.data.zero_()
    average = WeightAverage(module, decay=0.9)
    for _ in range(200):
        average.update(module)
    module.weight.data.fill_(1.0)
    average.update(module)
    assert 0.05 < average.weights["weight"].item() < 0.2
    for _ in range(200):
        average.update(module)
    assert average.weights["weight"].item() > 0.999


def test_permutations_are_copied_not_blended() -> None:
    flow = LatentFlow(kind="nsf", latent_size=33, blocks=2, width=8)
    average = WeightAverage(flow, decay=0.99)
    for _ in range(50):
        average.update(flow)
    for name, value in flow.state_dict().items():
        if not value.is_floating_point():
            assert torch.equal(average.weights[name], value)


def test_average_does_not_share_memory_with_the_module() -> None:
    module = nn.Linear(2, 2)
    average = WeightAverage(module, decay=0.5)
    before = average.weights["weight"].clone()
    module.weight.data.add_(1)
    assert torch.equal(average.weights["weight"], before)
