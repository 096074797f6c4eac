import pytest
import torch

from paecli.model.patches.discriminator import FARTHEST, Discriminator


def test_features_are_standardised_and_cut_off() -> None:
    found = Discriminator(size=3, hidden=(5, 4), weight=1.0).eval()
    features = torch.randn(200, 3) * torch.tensor([1.0, 10.0, 0.0]) + 7
    found.fit_scale(features)
    assert found.scale.min() > 0
    far = features.mean(0) + found.scale * torch.tensor([FARTHEST, 0.0, 0.0])
    farther = features.mean(0) + found.scale * torch.tensor([1e6, 0.0, 0.0])
    torch.testing.assert_close(found(far[None]), found(farther[None]))


@pytest.mark.parametrize("count", [0, 1, 7])
def test_one_number_comes_out_for_each_patch(count: int) -> None:
    assert Discriminator(size=3, weight=1.0).eval()(torch.randn(count, 3)).shape == (count,)
