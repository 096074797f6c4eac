import torch

from paecli.evaluation.features.classifier import ClassifierFeatures, GreyClassifier
from paecli.evaluation.features.network import to_8_bit


def test_features_do_not_depend_on_the_rest_of_the_batch() -> None:
    network = ClassifierFeatures(GreyClassifier(classes=20), identity="1", description="random")
    images = torch.randint(256, (5, 1, 28, 28), dtype=torch.uint8)
    features = network(images)
    assert features.shape == (5, network.size)
    torch.testing.assert_close(features[2:3], network(images[2:3]))


def test_the_weights_fit_in_two_megabytes_as_float16() -> None:
    parameters = sum(value.numel() for value in GreyClassifier(classes=20).state_dict().values())
    assert 2 * parameters < 2_000_000


def test_rounding_to_8_bit_is_to_the_nearest() -> None:
    x = torch.tensor([0.0, 0.4 / 255, 0.6 / 255, 1.0])
    assert to_8_bit(x).tolist() == [0, 0, 1, 255]
