from io import BytesIO
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from paecli.api import PAE
from paecli.report.restore_plots import overview, write_pictures
from paecli.restoration.files import RestoredFile


def test_all_pictures_are_written(trained_pae: PAE, blobs: Tensor, tmp_path: Path) -> None:
    image, mask = blobs[500], torch.ones(28, 28)
    mask[:, :14] = 0
    result = trained_pae.restore(image, mask=mask, method="laplace", starts=8, samples=4)
    damaged = image.masked_fill(mask == 0, torch.nan)
    restored = RestoredFile(Path("a.png"), damaged, image, result, None, tmp_path)
    write_pictures(restored)
    for path in restored.files.values():
        with Image.open(path) as picture:
            assert picture.width >= 28
    without_truth = overview(result, damaged=damaged)
    with_truth = overview(result, damaged=damaged, truth=image)
    assert without_truth != with_truth
    with Image.open(BytesIO(with_truth)) as picture:
        assert picture.width > picture.height
