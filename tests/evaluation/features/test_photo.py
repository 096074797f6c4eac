import pytest
import torch
from tests.listener import Listener
from torch import Tensor

from paecli.evaluation.features.opening import open_feature_network
from paecli.evaluation.kid import kernel_distance
from paecli.store.feature_weights import has_photo_weights
from paecli.system.errors import CheckpointError, RegistryError

COLOUR, GREY = (3, 32, 32), (1, 28, 28)
needs_extra = pytest.mark.skipif(not has_photo_weights(), reason="`photo` is not installed")


def pictures(count: int, *, noise: float) -> Tensor:
    """Colour gradients `(count, 3, 32, 32)` uint8 in many directions, with noise."""
    angles = 6.28 * torch.rand(count, 3, 1, 1)
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    waves = torch.sin((angles.sin() * rows + angles.cos() * columns) / 5)
    return (128 + 90 * waves + noise * torch.randn(count, 3, 32, 32)).clamp(0, 255).byte()


@needs_extra
def test_distances_rise_with_the_noise() -> None:
    network = open_feature_network("photo", image_shape=COLOUR)
    features = [network(pictures(40, noise=noise)) for noise in (0, 0, 15, 60)]
    assert features[0].shape == (40, network.size)
    distances = [kernel_distance(features[0], other).value for other in features[1:]]
    assert distances == sorted(distances)
    assert network.description.startswith("no FID")
    assert network.identity[:8] in network.description


@needs_extra
def test_any_size_and_grey_are_taken() -> None:
    network = open_feature_network("photo", image_shape=GREY)
    grey = pictures(2, noise=0)[:, :1]
    expected = network(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(network(grey), expected)
    assert network(grey[..., :7, :19]).shape == (2, network.size)


@pytest.fixture
def no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise RegistryError("no network")

    monkeypatch.setattr("paecli.evaluation.features.opening.fetch_file", refuse)


@needs_extra
@pytest.mark.usefixtures("no_registry")
def test_photo_stands_in_for_inception_and_says_so() -> None:
    said = Listener()
    assert open_feature_network("auto", image_shape=COLOUR, progress=said).name == "photo"
    (line,) = said.lines
    assert "no network" in line
    assert "--features photo" in line


@pytest.mark.usefixtures("no_registry")
def test_without_network_and_extra_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paecli.evaluation.features.opening.has_photo_weights", lambda: False)
    with pytest.raises(RegistryError, match=r"paecli\[photo\]"):
        open_feature_network("auto", image_shape=COLOUR)


@pytest.mark.usefixtures("no_registry")
def test_inception_is_not_replaced_when_asked_for() -> None:
    with pytest.raises(RegistryError, match="no network"):
        open_feature_network("inception", image_shape=COLOUR)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paecli.store.feature_weights.PHOTO_PACKAGE", "no_such_package")
    with pytest.raises(CheckpointError, match=r"paecli\[photo\]"):
        open_feature_network("photo", image_shape=COLOUR)
