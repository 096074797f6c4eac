import pytest
import torch

from paecli.outliers.conformal import p_values
from paecli.outliers.regions import find_regions, region_threshold


def test_regions_have_boxes_areas_and_p_values() -> None:
    scores = torch.zeros(20, 30)
    scores[2:5, 3:8] = 4.0
    scores[10, 12] = 9.0
    scores[11, 13] = 8.0  # touches at a corner
    regions, inside = find_regions(scores, reference_peaks=torch.arange(1.0, 20.0) / 6, rate=0.05)
    assert [region.box for region in regions] == [(12, 10, 14, 12), (3, 2, 8, 5)]
    assert [region.area for region in regions] == [2, 15]
    assert [region.p_value for region in regions] == [1 / 20, 1 / 20]
    assert int(inside.sum()) == 17


def test_nothing_above_the_threshold_gives_no_region() -> None:
    regions, inside = find_regions(torch.ones(4, 4), reference_peaks=torch.arange(40.0), rate=0.1)
    assert regions == ()
    assert not inside.any()


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("count", [5, 19, 20, 50, 199])
def test_threshold_and_p_value_agree(rate: float, count: int) -> None:
    reference = torch.rand(count).sort().values
    threshold = region_threshold(reference, rate)
    scores = torch.linspace(-0.1, 1.1, 200)
    assert torch.equal(scores > threshold, p_values(scores, reference) <= rate + 1e-12)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2])
def test_the_share_of_normal_images_with_a_region_is_the_rate(rate: float) -> None:
    """Over many sets of 50 held-out images, each with one new image: Bates et al., theorem 1."""
    maps = torch.randn(3000, 51, 6, 6)
    found = 0
    for each in maps:
        reference = each[:50].flatten(1).amax(1).sort().values
        found += bool(find_regions(each[50], reference_peaks=reference, rate=rate)[0])
    allowed = int(rate * 51) / 51  # what 50 images can tell
    error = (allowed * (1 - allowed) / 3000) ** 0.5
    assert abs(found / 3000 - allowed) < 3.5 * error
