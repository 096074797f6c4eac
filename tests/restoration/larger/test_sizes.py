"""Photographs are not shrunk into one of the model's pictures."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from paecli.api import PAE
from paecli.data import write_image
from paecli.restoration.files import restore_files
from paecli.restoration.reading import RestoreSettings
from paecli.system.errors import ImageError

STRICT = RestoreSettings(mask="left", method="map", starts=2, samples=2, resize=False)


def red(height: int, width: int) -> Tensor:
    return torch.tensor([0.9, 0.2, 0.1])[:, None, None].expand(3, height, width)


def restore(pae: PAE, file: Path, settings: RestoreSettings) -> int:
    return len(list(restore_files(pae, file, settings, out=Path("out"))))


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (torch.rand(1, 480, 640), "640 x 480 pixels, more than 4 times as large and of another"),
        (torch.rand(1, 56, 40), "of another shape"),
        (red(56, 56), "in colour"),
        (torch.rand(1, 200, 200), "more than 4 times as large"),
    ],
)
def test_photographs_are_refused_in_one_line(
    trained_pae: PAE, tmp_path: Path, pixels: Tensor, words: str
) -> None:
    write_image(tmp_path / "photo.png", pixels)
    with pytest.raises(ImageError, match=words) as refusal:
        restore(trained_pae, tmp_path / "photo.png", STRICT)
    assert "28 x 28 grey" in str(refusal.value)
    assert "--resize" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert restore(trained_pae, tmp_path / "photo.png", replace(STRICT, resize=True)) == 1


def test_enlarged_pictures_are_not(trained_pae: PAE, blobs: Tensor, tmp_path: Path) -> None:
    write_image(tmp_path / "own.png", blobs[500])
    write_image(tmp_path / "large.png", blobs[500].repeat_interleave(2, 1).repeat_interleave(2, 2))
    Image.open(tmp_path / "large.png").convert("RGB").save(tmp_path / "rgb.png")
    write_image(tmp_path / "odd.png", torch.rand(1, 30, 28))
    assert restore(trained_pae, tmp_path, STRICT) == 4
