"""One p-value over the tiles of a larger image, and how often it errs."""

from pathlib import Path

import pytest
import torch
from tests.listener import Listener
from torch import Tensor

from paecli.api import PAE
from paecli.data import write_image
from paecli.outliers import flag_tiles
from paecli.outliers.flag_images import flag_images
from paecli.outliers.flag_tiles import flag_tiled
from paecli.system.errors import ImageError


def sheet(tiles: Tensor, columns: int) -> Tensor:
    """Lays tiles `(n, 1, 28, 28)` out to one image."""
    rows = [torch.cat(list(row), dim=2) for row in tiles.split(columns)]
    return torch.cat(rows, dim=1)


def test_the_unusual_tile_is_found_where_it_is(
    trained_pae: PAE, blobs: Tensor, tmp_path: Path
) -> None:
    tiles = blobs[500:506].clone()
    tiles[4] = torch.rand(1, 28, 28)
    write_image(tmp_path / "odd.png", sheet(tiles, 3))
    report = flag_tiled(trained_pae, [tmp_path], score="log_prob", fpr=0.1)
    (image,) = report.images
    assert image.outlier
    assert image.p_value == pytest.approx(6 / 101)
    assert image.regions is not None
    assert (28, 28, 56, 56) in [region.box for region in image.regions]
    assert {region.area for region in image.regions} == {784}
    left, top, right, bottom = image.regions[0].box
    shown = sheet(tiles, 3)[:, top:bottom, left:right]
    torch.testing.assert_close(report.unusual_pixels[0], shown, atol=0.01, rtol=0)


def test_one_tile_is_the_image_itself(trained_pae: PAE, blobs: Tensor, tmp_path: Path) -> None:
    for index in range(3):
        write_image(tmp_path / f"{index}.png", blobs[510 + index])
    tiled = flag_tiled(trained_pae, [tmp_path], score="log_prob")
    whole = flag_images(trained_pae, [tmp_path], score="log_prob")
    for one, other in zip(tiled.images, whole.images, strict=True):
        assert (one.p_value, one.path) == (other.p_value, other.path)
        assert one.score == pytest.approx(other.score, rel=1e-4)


@pytest.mark.parametrize("dependent", [False, True])
def test_the_rate_is_kept_however_tiles_depend(
    trained_pae: PAE, dependent: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Scores are drawn, so that 400 images of 12 tiles take no time."""
    reference = torch.randn(999).sort().values
    monkeypatch.setattr(trained_pae, "reference_scores", {"log_prob": reference})

    def drawn(_model: PAE, tiles: Tensor, names: tuple[str, ...]) -> tuple[dict[str, Tensor], None]:
        scores = torch.randn(1).expand(len(tiles)) if dependent else torch.randn(len(tiles))
        return dict.fromkeys(names, scores.clone()), None

    monkeypatch.setattr(flag_tiles, "measure_with_parts", drawn)
    write_image(tmp_path / "a.png", torch.zeros(1, 84, 112))
    p = [
        flag_tiles._score(
            trained_pae, tmp_path / "a.png", score="log_prob", reference=reference, rate=0.1
        ).image.p_value
        for _ in range(400)
    ]
    share = sum(value <= 0.1 for value in p) / len(p)
    assert share <= 0.1 + 3 * (0.1 * 0.9 / 400) ** 0.5
    assert dependent or share > 0.05


def test_too_many_tiles_for_the_held_out_images_are_told(
    trained_pae: PAE, blobs: Tensor, tmp_path: Path
) -> None:
    write_image(tmp_path / "big.png", sheet(blobs[:20], 5))
    said = Listener()
    report = flag_tiled(trained_pae, [tmp_path], score="log_prob", progress=said)
    assert report.flagged == 0
    assert any("an image of 20 tiles has a p-value of at least 0.2" in line for line in said.lines)


def test_images_smaller_than_a_tile_are_unreadable(
    trained_pae: PAE, blobs: Tensor, tmp_path: Path
) -> None:
    write_image(tmp_path / "small.png", blobs[0, :, :20])
    with pytest.raises(ImageError, match="tiles need an image"):
        flag_tiled(trained_pae, [tmp_path], score="log_prob")
    write_image(tmp_path / "right.png", blobs[0])
    report = flag_tiled(trained_pae, [tmp_path], score="log_prob")
    assert [path.name for path, _ in report.unreadable] == ["small.png"]


def test_the_tile_that_scores_highest_says_why(
    trained_pae: PAE, blobs: Tensor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def measured(
        _model: PAE, tiles: Tensor, names: tuple[str, ...]
    ) -> tuple[dict[str, Tensor], list[str]]:
        scores = tiles.flatten(1).sum(1)
        return dict.fromkeys(names, scores), [f"light {score:.0f}" for score in scores]

    monkeypatch.setattr(flag_tiles, "measure_with_parts", measured)
    monkeypatch.setattr(flag_tiles, "CHUNK", 2)
    tiles = 0.1 * blobs[500:506]
    tiles[4] = 1
    write_image(tmp_path / "odd.png", sheet(tiles, 3))
    (image,) = flag_tiled(trained_pae, [tmp_path], score="log_prob").images
    assert image.spoke == "light 784"
    assert image.score == pytest.approx(784)
