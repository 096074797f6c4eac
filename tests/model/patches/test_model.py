import pytest
import torch
from tests.patches_models import HOLE, small_model, surface

from paecli.model.patches.model import PatchPAE, fit_area, rings
from paecli.system.errors import CheckpointError, UsageError


@pytest.fixture(scope="module")
def model() -> PatchPAE:
    return small_model()


def test_a_hole_scores_higher_than_any_normal_pixel(model: PatchPAE) -> None:
    scores = model.score_map(surface(99, hole=True))
    assert scores.shape == (80, 96)
    row, column = divmod(int(scores.argmax()), 96)
    left, top, right, bottom = HOLE
    assert top - 8 <= row < bottom + 8
    assert left - 8 <= column < right + 8
    assert scores.max() > model.reference_peaks[-1]


def test_bytes_and_floats_score_the_same(model: PatchPAE) -> None:
    image = surface(7)
    torch.testing.assert_close(model.score_map(image), model.score_map(image.float() / 255))


def test_grey_and_equal_colours_score_the_same(model: PatchPAE) -> None:
    image = surface(7)
    torch.testing.assert_close(
        model.score_map(image), model.score_map(image.expand(3, -1, -1)), rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (200, 20), (16, 16)])
def test_images_of_any_size_are_scored(model: PatchPAE, size: tuple[int, int]) -> None:
    scores = model.score_map(surface(3, size=size))
    assert scores.shape == size
    assert scores.isfinite().all()


def test_scores_are_zero_at_the_median_of_each_ring(model: PatchPAE) -> None:
    parts = [model.score_cells(surface(n)) for n in range(5)]
    ring = torch.cat([rings(part.surprise.shape).flatten() for part in parts])
    scores = torch.cat([(part.surprise + part.energy).flatten() for part in parts])
    other = small_model()
    other.fit_usual(scores, ring)
    compared = torch.cat([other.compare(part).flatten() for part in parts])
    for number in range(3):
        own = compared[ring == number]
        assert own.quantile(0.5).item() == pytest.approx(0, abs=1e-4)
        assert own.quantile(0.95).item() == pytest.approx(1, abs=1e-4)


def test_rings_count_cells_from_the_border() -> None:
    assert rings((5, 4)).tolist() == [
        [0, 0, 0, 0],
        [0, 1, 1, 0],
        [0, 1, 1, 0],
        [0, 1, 1, 0],
        [0, 0, 0, 0],
    ]


def test_images_are_scaled_to_one_area_and_keep_their_shape() -> None:
    scaled = fit_area(torch.rand(1, 3, 100, 400), 128 * 128)
    assert scaled.shape[-2:] == (64, 256)
    assert fit_area(scaled, 128 * 128) is scaled


def test_what_is_no_image_is_refused(model: PatchPAE) -> None:
    with pytest.raises(UsageError, match="shape"):
        model.score_map(torch.rand(2, 30, 30))
    with pytest.raises(UsageError, match="outside"):
        model.score_map(torch.rand(1, 30, 30) * 2)


def test_without_a_flow_there_are_no_scores(model: PatchPAE) -> None:
    first_stage = PatchPAE(model.features, model.autoencoder, area=model.area)
    with pytest.raises(CheckpointError, match="train-flow"):
        first_stage.score_map(surface(1))
