import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from paecli.data import load_dataset
from paecli.evaluation.features.classifier import GreyClassifier
from paecli.evaluation.features.network import to_8_bit
from paecli.evaluation.features.opening import (
    CLASSIFIER_ENTRY,
    CLASSIFIER_REVISION,
    _open_classifier,
    open_feature_network,
)
from paecli.evaluation.fid import frechet_distance, gaussian_statistics
from paecli.store.registry import fetch_file
from paecli.system.errors import CheckpointError

IMAGES = 200  # of each set


def test_the_distance_grows_with_the_damage() -> None:
    data = load_dataset("fmnist-mini")
    network = open_feature_network("classifier", image_shape=(1, 28, 28))
    x = data.train.images[:IMAGES] / 255
    blurred = torch.nn.functional.avg_pool2d(x, 3, stride=1, padding=1)
    noisy = (x + 0.2 * torch.randn_like(x)).clamp(0, 1)
    sets = (x, blurred, noisy, torch.rand_like(x))

    def statistics_of(images: Tensor):
        return gaussian_statistics(network(images))

    reference = statistics_of(data.test.images[:IMAGES])
    distances = [frechet_distance(reference, statistics_of(to_8_bit(y))) for y in sets]
    assert distances[0] < min(distances[1:3])
    assert max(distances[1:3]) < distances[3]


@pytest.mark.parametrize(
    ("name", "goal", "first_class"), [("fmnist", 0.93, 0), ("mnist", 0.99, 10)]
)
def test_the_stated_accuracy_meets_the_goal_and_is_true(
    name: str, goal: float, first_class: int
) -> None:
    file = fetch_file(CLASSIFIER_ENTRY, kind="features", revision=CLASSIFIER_REVISION)
    assert file.stat().st_size <= 2_000_000
    with safe_open(file, framework="pt") as opened:
        stated = json.loads(opened.metadata()["test_accuracy"])[name]
        weights = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    assert stated >= goal
    network = GreyClassifier(classes=20).eval()
    network.load_state_dict(weights)
    test = load_dataset(f"{name}-mini").test.take(IMAGES)
    with torch.no_grad():
        found = network(test.images / 255).argmax(1) == first_class + test.labels
    error = (stated * (1 - stated) / IMAGES) ** 0.5
    assert found.double().mean() == pytest.approx(stated, abs=4 * error)


def test_the_protocol_states_the_accuracy() -> None:
    network = open_feature_network("classifier", image_shape=(1, 28, 28))
    assert "test accuracy" in network.description
    assert network.identity[:8] in network.description


@pytest.mark.parametrize("content", [b"", b"words, and many of them", None])
def test_another_file_is_no_classifier(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    if content is None:
        save_file({"head.bias": torch.zeros(3)}, file, {"test_accuracy": "{}"})
    else:
        file.write_bytes(content)
    with pytest.raises(CheckpointError, match="is not pae's feature classifier"):
        _open_classifier(file)
