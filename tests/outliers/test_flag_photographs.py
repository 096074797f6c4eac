"""Which pictures of photographs are kept to be shown: the most unusual ones, whatever comes."""

from pathlib import Path

import torch

from paecli.outliers.flag_images import SHOWN, ScoredImage
from paecli.outliers.flag_photographs import _keep_highest


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
