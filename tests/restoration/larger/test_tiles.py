"""Larger images restored tile by tile: what is blended, what stays, what is refused."""

from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.listener import Listener
from torch import Tensor

from paecli.api import PAE
from paecli.data import write_image
from paecli.report.restore_plots import pictures
from paecli.restoration.files import restore_files
from paecli.restoration.larger.tiles import restore_in_tiles, window
from paecli.restoration.reading import RestoreSettings
from paecli.system.errors import ImageError, UsageError


@pytest.fixture
def wide(blobs: Tensor) -> Tensor:
    """Three blobs beside each other: `(1, 28, 84)`."""
    return torch.cat([blobs[510], blobs[511], blobs[512]], dim=2)


def test_one_tile_is_the_restoration_itself(trained_pae: PAE, blobs: Tensor) -> None:
    observed = torch.ones(28, 28, dtype=torch.bool)
    observed[10:18, 10:18] = False
    alone = trained_pae.restore(blobs[520], mask=observed, method="laplace", samples=8)
    tiled = restore_in_tiles(
        trained_pae, blobs[520], observed=observed, noise=0.0, method="laplace", samples=8
    )
    torch.testing.assert_close(tiled.mean, alone.mean)
    torch.testing.assert_close(tiled.std, alone.std, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(tiled.map, alone.map)
    torch.testing.assert_close(tiled.samples, alone.samples, atol=1e-4, rtol=1e-3)
    assert tiled.note.startswith("1 of 1 tiles restored")


def test_only_tiles_with_something_missing_are_touched(trained_pae: PAE, wide: Tensor) -> None:
    observed = torch.ones(28, 84, dtype=torch.bool)
    observed[10:16, 70:78] = False
    result = restore_in_tiles(
        trained_pae, wide, observed=observed, noise=0.0, method="laplace", samples=8
    )
    assert result.note.startswith("1 of 4 tiles restored")
    assert torch.equal(result.mean[:, observed], wide[:, observed])
    assert (result.std[:, observed] == 0).all()
    assert (result.std[:, ~observed] > 0).all()
    assert torch.equal(result.samples[:, 0, observed], wide[:, observed].expand(8, -1))
    assert result.mean.shape == wide.shape


def test_noise_is_taken_from_every_tile(trained_pae: PAE, wide: Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    noisy = wide + 0.2 * torch.randn(wide.shape, generator=generator)
    result = restore_in_tiles(
        trained_pae,
        noisy,
        observed=torch.ones(28, 84, dtype=torch.bool),
        noise=0.2,
        method="laplace",
        samples=16,
    )
    assert result.note.startswith("4 of 4 tiles restored")
    # the tiles at 0 and 56 hold whole blobs; those between cut through two
    error, before = ((x - wide)[..., :20].square().mean() for x in (result.mean, noisy))
    assert error < 0.5 * before
    spread = result.predictive.std(0)
    assert spread.mean().item() == pytest.approx(result.std.mean().item(), rel=0.4)


def test_disagreement_of_tiles_widens_the_answer(trained_pae: PAE, blobs: Tensor) -> None:
    image = torch.cat([blobs[510], blobs[511]], dim=2)  # tiles begin at 0, 14 and 28
    observed = torch.ones(28, 56, dtype=torch.bool)
    observed[8:20, 18:26] = False
    tiles = [
        trained_pae.restore(
            image[..., left : left + 28],
            mask=observed[:, left : left + 28],
            method="laplace",
            samples=4,
        )
        for left in (0, 14)
    ]
    result = restore_in_tiles(
        trained_pae, image, observed=observed, noise=0.0, method="laplace", samples=4
    )
    weights = [window(28, 28)[12, 20], window(28, 28)[12, 6]]
    shares = [weight / sum(weights) for weight in weights]
    means = [tiles[0].mean[0, 12, 20], tiles[1].mean[0, 12, 6]]
    variances = [tiles[0].std[0, 12, 20] ** 2, tiles[1].std[0, 12, 6] ** 2]
    mean = sum(share * value for share, value in zip(shares, means, strict=True))
    square = sum(
        share * (variance + value**2)
        for share, variance, value in zip(shares, variances, means, strict=True)
    )
    torch.testing.assert_close(result.mean[0, 12, 20], mean)
    torch.testing.assert_close(result.std[0, 12, 20], (square - mean**2).sqrt())


def test_tiles_inside_a_hole_are_told(trained_pae: PAE, wide: Tensor) -> None:
    observed = torch.ones(28, 84, dtype=torch.bool)
    observed[:, 50:] = False
    result = restore_in_tiles(
        trained_pae, wide, observed=observed, noise=0.0, method="laplace", samples=4
    )
    assert "1 lie wholly inside what is missing" in result.note


def test_nothing_to_restore_and_too_small_are_refused(trained_pae: PAE, wide: Tensor) -> None:
    whole = torch.ones(28, 84, dtype=torch.bool)
    with pytest.raises(UsageError, match="nothing to restore"):
        restore_in_tiles(trained_pae, wide, observed=whole, noise=0.0)
    with pytest.raises(UsageError, match="tiles need an image"):
        restore_in_tiles(trained_pae, wide[..., :20], observed=whole[:, :20], noise=0.1)


def test_files_keep_their_size_and_masks_their_coordinates(
    trained_pae: PAE, wide: Tensor, tmp_path: Path
) -> None:
    write_image(tmp_path / "in" / "wide.png", wide)
    write_image(tmp_path / "in" / "colour.png", wide.expand(3, -1, -1) * torch.rand(3, 1, 1))
    write_image(tmp_path / "in" / "small.png", wide[:, :20])
    said = Listener()
    settings = RestoreSettings(
        mask="box:70,10,78,16", tiles=True, method="laplace", samples=4, resize=False
    )
    restored = list(
        restore_files(
            trained_pae,
            tmp_path / "in",
            settings,
            out=tmp_path / "out",
            truth=tmp_path / "in",
            progress=said,
        )
    )
    assert [each.path.name for each in restored] == ["colour.png", "wide.png"]
    answer = restored[1]
    assert answer.restoration.mean.shape == (1, 28, 84)
    assert answer.missing_pixels == 48
    assert answer.damaged.isnan()[0, 10:16, 70:78].all()
    assert answer.coverage is not None
    for picture in pictures(answer).values():  # without modes, and wider than high
        assert picture.startswith(b"\x89PNG")
    with Image.open(BytesIO(pictures(answer)["mean_file"])) as mean:
        assert mean.size == (84, 28)
    assert any("small.png" in line or "tiles need" in line for line in said.lines)
    assert "the model is grey: images in colour are restored in grey" in said.lines


def test_the_only_image_that_is_too_small_is_an_error(
    trained_pae: PAE, wide: Tensor, tmp_path: Path
) -> None:
    write_image(tmp_path / "small.png", wide[:, :20])
    settings = RestoreSettings(noise=0.1, tiles=True)
    with pytest.raises((UsageError, ImageError), match="tiles need"):
        list(restore_files(trained_pae, tmp_path / "small.png", settings, out=tmp_path / "out"))
