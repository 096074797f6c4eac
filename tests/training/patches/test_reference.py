from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from tests.patches_models import surface, write_surfaces

from paecli.model.flow import LatentFlow
from paecli.model.patches.autoencoder import PatchAutoencoder
from paecli.model.patches.model import PEAK, PatchPAE, enlarge
from paecli.model.patches.pixels import PixelFeatures
from paecli.outliers.regions import region_threshold
from paecli.system.progress import NullProgress
from paecli.training.patches.feature_maps import (
    FeatureMap,
    fit_components,
    patch_latents,
    read_feature_maps,
)
from paecli.training.patches.painting import Image, Painted, paint_defects
from paecli.training.patches.reference import cross_fit, fold_count, measure_usual_scores

SIZE = (80, 96)
RATE = 0.1


def test_fresh_images_have_regions_at_the_rate_that_was_set(maps: list[FeatureMap]) -> None:
    """Several small trainings, since the rate of one scatters as its 40 images fall."""
    shares = []
    fresh = maps[-100:]
    for start in range(0, 160, 40):
        own = maps[start : start + 40]
        threshold = region_threshold(cross_fit(fit, own, folds=5).scores[PEAK], RATE)
        model = fit(own)
        shares.append(sum(peak(model, each) > threshold for each in fresh) / len(fresh))
    mean = sum(shares) / len(shares)
    assert 0.03 < mean < 0.18  # expected .098, its standard deviation .03


def test_training_images_would_promise_too_much(maps: list[FeatureMap]) -> None:
    own, fresh = maps[:15], maps[-100:]
    model = fit(own)
    seen = torch.tensor([peak(model, each) for each in own]).sort().values
    apart = cross_fit(fit, own, folds=5).scores[PEAK]
    assert apart.mean() > seen.mean()
    excess = [peak(model, each) > seen[-1] for each in fresh]
    assert sum(excess) / len(excess) > 1 / 16


def test_every_image_is_scored_once_by_a_model_of_the_others(maps: list[FeatureMap]) -> None:
    seen: list[set[int]] = []

    def spy(others: Sequence[FeatureMap]) -> PatchPAE:
        seen.append({id(each) for each in others})
        return fit(others)

    own = maps[:11]
    reference = cross_fit(spy, own, folds=4)
    assert len(reference.scores[PEAK]) == 11
    left_out = [[each for each in own if id(each) not in others] for others in seen]
    assert [len(part) for part in left_out] == [3, 3, 2, 3]
    assert {id(each) for part in left_out for each in part} == {id(each) for each in own}


@pytest.mark.parametrize(
    ("held_out", "folds"), [(0.9, 2), (0.5, 2), (0.2, 5), (0.1, 10), (1e-3, 10)]
)
def test_any_fraction_gives_folds_that_can_be_trained(held_out: float, folds: int) -> None:
    assert fold_count(held_out) == folds


def test_very_many_images_are_thinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_surfaces(tmp_path / "a", range(10))
    files = sorted((tmp_path / "a").iterdir())
    model = empty_model()
    size = model.feature_map(surface(0)).numel()
    monkeypatch.setattr("paecli.training.patches.feature_maps.MOST_BYTES", 4 * size * 5)
    maps = read_feature_maps(model, files, progress=NullProgress())
    assert len(maps) == 5
    assert maps[1].features.equal(model.feature_map(surface(2).float() / 255))
    assert (maps[0].height, maps[0].width) == (80, 96)


def test_painted_images_are_read_beside_the_good_ones(tmp_path: Path) -> None:
    write_surfaces(tmp_path / "a", range(6))
    files = sorted((tmp_path / "a").iterdir())
    model = empty_model()
    plain = read_feature_maps(model, files, progress=NullProgress())
    found, again, other = (
        read_feature_maps(model, files, paint=seed, progress=NullProgress()) for seed in (3, 3, 4)
    )
    for one, two, three, good in zip(found, again, other, plain, strict=True):
        assert one.features.equal(good.features)
        assert good.painted is None
        assert one.painted is not None
        assert two.painted is not None
        assert three.painted is not None
        assert one.painted.features.shape == one.features.shape
        assert one.painted.features.equal(two.painted.features)
        assert not one.painted.features.equal(three.painted.features)
        assert one.painted.defective.shape == one.features.shape[1:]
        assert (one.painted.defective[~one.painted.touched] == 0).all()
    assert all(each.painted is not None and each.painted.touched.any() for each in found)


def test_large_photographs_are_shrunk_before_they_are_painted(tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []

    def spy(image: Image, other: Image, rng: np.random.Generator) -> Painted:
        seen.append(image.shape)
        return paint_defects(image, other, rng)

    (tmp_path / "a").mkdir()
    PIL.Image.fromarray(surface(1, size=(300, 400))[0].numpy()).save(tmp_path / "a" / "1.png")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("paecli.training.patches.feature_maps.paint_defects", spy)
        read_feature_maps(
            empty_model(), [tmp_path / "a" / "1.png"], paint=0, progress=NullProgress()
        )
    assert seen == [(1, 118, 157)]


@pytest.fixture(scope="module")
def maps() -> list[FeatureMap]:
    model = empty_model()
    return [FeatureMap(model.feature_map(surface(n, size=SIZE)), *SIZE) for n in range(260)]


def empty_model() -> PatchPAE:
    features = PixelFeatures()
    return PatchPAE(features, PatchAutoencoder(size=features.size, latent_size=6), area=96 * 96)


def fit(maps: Sequence[FeatureMap]) -> PatchPAE:
    """A model whose flow only whitens."""
    model = empty_model()
    fit_components(model.autoencoder, maps)
    model.flow = LatentFlow(kind="glow", latent_size=6, blocks=1, width=8).eval()
    model.flow.fit_whitening(patch_latents(model.autoencoder, maps, seed=0))
    measure_usual_scores(model, maps)
    return model


def peak(model: PatchPAE, image: FeatureMap) -> float:
    cells = model.compare(model.score_features(image.features))
    return enlarge(cells, (image.height, image.width)).max().item()
