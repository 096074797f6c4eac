from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from paecli.api import PAE
from paecli.report.restore_plots import overview, write_pictures
from paecli.restoration.files import RestoredFile


def test_all_pictures_are_written(
    trained_pae: PAE, blobs: Tensor, tmp_path: Path, texts: Callable[[], list[str]]
) -> None:
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
    assert "truth" not in texts()
    with_truth = overview(result, damaged=damaged, truth=image, notes=["a note on the mask"])
    shown = {"truth", "input", "missing, 50.0%", "best mode", "mean", "std", "mode, 100%"}
    assert shown | {f"sample {number}" for number in range(1, 7)} <= set(texts())
    (heading,) = (each for each in texts() if each.startswith("method laplace, chi-squared "))
    assert heading.endswith("for 392 observed values\na note on the mask")
    assert without_truth != with_truth
    with Image.open(BytesIO(with_truth)) as picture:
        assert picture.width > picture.height
