import torch
from torch import Tensor

from paecli.core.features import to_8_bit
from paecli.core.fid import frechet_distance, gaussian_statistics
from paecli.data import load_dataset
from paecli.workflows.feature_networks import open_feature_network


def test_the_distance_grows_with_the_damage() -> None:
    data = load_dataset("fmnist-mini")
    network = open_feature_network("classifier", image_shape=(1, 28, 28))
    x = data.train.images[:500] / 255
    blurred = torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1)
    noisy = (x + 0.2 * torch.randn_like(x)).clamp(0, 1)
    sets = (x, blurred, noisy, torch.rand_like(x))

    def statistics_of(images: Tensor):
        return gaussian_statistics(network(images))

    reference = statistics_of(data.test.images[:500])
    distances = [frechet_distance(reference, statistics_of(to_8_bit(y))) for y in sets]
    assert distances[0] < min(distances[1:3])
    assert max(distances[1:3]) < distances[3]


def test_the_protocol_states_the_accuracy() -> None:
    network = open_feature_network("classifier", image_shape=(1, 28, 28))
    assert "test accuracy" in network.description
    assert network.identity[:8] in network.description
