"""Maps that are compared with true masks one by one."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from paecli.cli.outlier_maps import MapSink
from paecli.outliers.map_images import ImageMap


def found(path: Path) -> ImageMap:
    scores = torch.zeros(9, 8)
    scores[2:4, 3:6] = 1
    return ImageMap(path, torch.zeros(1, 9, 8), scores, 1 - scores, scores > 0, ())


def test_a_mask_that_cannot_be_read_is_said_and_the_others_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [tmp_path / "in" / name for name in ("a.png", "b.png")]
    (tmp_path / "masks").mkdir()
    truth = torch.zeros(9, 8, dtype=torch.uint8)
    truth[2:4, 3:6] = 255
    Image.fromarray(truth.numpy()).save(tmp_path / "masks" / "a.png")
    Image.new("L", (7, 7)).save(tmp_path / "masks" / "b.png")
    sink = MapSink(images, folder=None, truth=tmp_path / "masks")
    for image in images:
        sink(found(image))
    located = sink.close()["localisation"]
    assert (located["images"], located["pixel_auroc"]) == (1, 1.0)
    said = " ".join(capsys.readouterr().err.split())
    assert "Not compared with its mask: " in said
    assert "b.png" in said
