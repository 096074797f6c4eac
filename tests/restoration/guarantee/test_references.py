"""Held-out images: what is unlike them, and intervals that are set on them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from paecli.api import PAE
from paecli.data import write_image
from paecli.report.restore_plots import write_pictures
from paecli.restoration.damage import Damage, check_damage
from paecli.restoration.files import restore_files
from paecli.restoration.guarantee.references import References
from paecli.restoration.reading import RestoreSettings
from paecli.system.errors import UsageError

SIDE = 28


def damaged(image: Tensor, **options: float) -> Damage:
    """Hides the left half."""
    mask = torch.ones(1, SIDE // int(options.get("downsample", 1)), SIDE)
    if "downsample" not in options:
        mask[:, :, : SIDE // 2] = 0
    else:
        mask = mask[:, :, : SIDE // int(options["downsample"])]
    return check_damage(
        image[None],
        mask,
        image_shape=(1, SIDE, SIDE),
        noise=options.get("noise", 0.0),
        downsample=int(options.get("downsample", 1)),
    )


@pytest.fixture(scope="module")
def references(trained_pae: PAE, blobs: Tensor) -> References:
    return References(trained_pae, blobs[500:560])


def test_fresh_images_are_like_and_others_are_not(references: References, blobs: Tensor) -> None:
    fresh = [references.likeness(damaged(blob)) for blob in blobs[560:580]]
    assert sum(each is not None and each.warning == "" for each in fresh) >= 16
    stripes = (torch.arange(SIDE) % 2).float().expand(1, SIDE, SIDE)
    found = references.likeness(damaged(stripes))
    assert found is not None
    assert found.p_value == pytest.approx(1 / 61)
    assert "p-value 0.016" in found.warning
    assert "60 held-out images" in found.warning


def test_nothing_observed_is_like_anything(references: References) -> None:
    nothing = Damage(torch.zeros(1, 1, SIDE, SIDE), torch.zeros(1, 1, SIDE, SIDE).bool())
    assert references.likeness(nothing) is None


def test_the_same_damage_is_fitted_once(
    references: References, blobs: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = references.likeness(damaged(blobs[561], noise=0.1))
    known = len(references._energies)
    assert references.likeness(damaged(blobs[561], noise=0.1)) == first
    references.likeness(damaged(blobs[562], noise=0.1))
    assert len(references._energies) == known
    references.likeness(damaged(blobs[561], noise=0.2))
    assert len(references._energies) == known + 1


@pytest.mark.parametrize("options", [{}, {"noise": 0.1}, {"downsample": 2}])
def test_intervals_hold_most_missing_pixels(
    references: References, blobs: Tensor, options: dict[str, float]
) -> None:
    shares = []
    for blob in blobs[560:580]:
        seen = blob if "downsample" not in options else torch.nn.functional.avg_pool2d(blob, 2)
        damage = damaged(seen, **options)
        found = references.guarantee(damage, 0.8).of_one()
        inside = (blob >= found.lower - 1e-6) & (blob <= found.upper + 1e-6)
        asked = ~damage.certain[0] if damage.operator is None else torch.ones_like(blob).bool()
        shares.append(inside[asked].float().mean().item())
        if damage.operator is None:
            certain = damage.certain[0]
            assert torch.equal(found.lower[certain], blob[certain])
            assert torch.equal(found.upper[certain], blob[certain])
    assert sum(shares) / len(shares) > 0.75


def test_too_few_images_say_so_and_ask_for_data(trained_pae: PAE, blobs: Tensor) -> None:
    few = References(trained_pae, blobs[500:505])
    with pytest.raises(UsageError, match="--data-dir"):
        few.guarantee(damaged(blobs[560]), 0.9)
    with pytest.raises(UsageError, match="out of range"):
        few.guarantee(damaged(blobs[560]), 1.5)


def test_files_carry_both(
    trained_pae: PAE, references: References, blobs: Tensor, tmp_path: Path
) -> None:
    write_image(tmp_path / "a.png", blobs[570])
    settings = RestoreSettings(mask="left", method="map", starts=2, samples=2)
    for confidence in (None, 0.8):
        (found,) = restore_files(
            trained_pae,
            tmp_path / "a.png",
            replace(settings, confidence=confidence),
            out=tmp_path / "out",
            references=references,
        )
        assert found.likeness is not None
        assert (found.guarantee is None) == (confidence is None)
        write_pictures(found)
        assert all(path.is_file() for path in found.files.values())
        assert (tmp_path / "out" / "lower.png").is_file() == (confidence is not None)


def test_python_has_both(trained_pae: PAE, blobs: Tensor) -> None:
    mask = torch.ones(SIDE, SIDE)
    mask[:, :14] = 0
    pae = PAE.of(trained_pae)
    pae.references = References(pae, torch.zeros(0, 1, 1, 1))  # a file without held-out images
    assert pae.likeness(blobs[560], mask=mask) is None
    pae.references = References(pae, blobs[500:560])
    assert pae.likeness(blobs[560], mask=mask) is not None
    found = pae.guarantee(blobs[560], 0.8, mask=mask)
    assert bool((found.lower <= found.upper).all())
