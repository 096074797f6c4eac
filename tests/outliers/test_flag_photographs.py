"""Photographs are flagged whatever else lies beside them, and the most unusual ones shown."""

from pathlib import Path

import pytest
import torch
from tests.patches_models import small_model, write_surfaces

from paecli.outliers.flag_images import SHOWN, ScoredImage
from paecli.outliers.flag_photographs import _keep_highest, flag_photographs
from paecli.system.errors import ImageError


def test_as_many_pictures_as_are_shown_are_kept() -> None:
    pictures: dict[Path, tuple[torch.Tensor, torch.Tensor]] = {}
    scored: list[ScoredImage] = []
    scores = [5.0, 1.0, 9.0, 2.0, 8.0, 3.0, 7.0, 4.0, 6.0, 0.0, 10.0]
    for number, score in enumerate(scores):
        path = Path(f"{number}.png")
        scored.append(ScoredImage(path, 0.5, False, score, 0.0, 0.0))
        pictures[path] = (torch.zeros(1), torch.zeros(1))
        _keep_highest(pictures, scored)
        assert len(pictures) == min(number + 1, SHOWN)
    kept = sorted(image.score for image in scored if image.path in pictures)
    assert kept == sorted(scores)[-SHOWN:]


def test_what_cannot_be_read_is_told_and_stops_nothing(tmp_path: Path) -> None:
    model = small_model()
    write_surfaces(tmp_path / "in", range(80, 82))
    damaged = tmp_path / "in" / "a.png"
    damaged.write_bytes((tmp_path / "in" / "080.png").read_bytes()[:200])
    maps = []
    report = flag_photographs(model, [tmp_path / "in"], show=maps.append)
    assert [image.path.name for image in report.images] == ["080.png", "081.png"]
    assert [path for path, _ in report.unreadable] == [damaged]
    assert len(maps) == 2
    with pytest.raises(ImageError, match=r"a\.png"):
        flag_photographs(model, [damaged])
