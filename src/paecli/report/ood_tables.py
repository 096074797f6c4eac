"""What `pae ood` found, as rows of a table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paecli.outliers.compare_sets import SetResult
    from paecli.outliers.detection_metrics import Interval
    from paecli.outliers.flag_images import ScoredImage

COMPARISON_COLUMNS = ("data set", "score", "AUROC", "AUPR", "FPR95")
IMAGE_COLUMNS = ("image", "p-value", "outlier", "part", "log p(z)", "MSE")


def comparison_rows(results: Sequence[SetResult]) -> list[tuple[str, ...]]:
    """Returns the lines under `COMPARISON_COLUMNS`; a data set is named on its first line."""
    rows: list[tuple[str, ...]] = []
    previous = ""
    for result in results:
        metrics = result.metrics
        rows.append(
            (
                result.dataset if result.dataset != previous else "",
                result.score,
                _with_margin(metrics.auroc, metrics.auroc_ci),
                _with_margin(metrics.aupr, metrics.aupr_ci),
                _with_margin(metrics.fpr95, metrics.fpr95_ci),
            )
        )
        previous = result.dataset
    return rows


def common_folder(images: Sequence[ScoredImage]) -> Path:
    """Returns the folder in or below which all the images lie, absolute."""
    return Path(os.path.commonpath([image.path.absolute().parent for image in images]))


def image_row(image: ScoredImage, folder: Path) -> tuple[str, ...]:
    """Returns one line under `IMAGE_COLUMNS`; the image is named relative to a folder above."""
    return (
        str(image.path.absolute().relative_to(folder)),
        f"{image.p_value:.3g}",
        "yes" if image.outlier else "no",
        image.spoke or "",
        f"{image.log_prob:.2f}",
        f"{image.reconstruction_error:.5f}",
    )


def _with_margin(value: float, interval: Interval) -> str:
    low, high = interval
    margin = f"{max(high - value, value - low):.4f}".removeprefix("0")
    return f"{value:.4f}±{margin}"  # as narrow as it gets: five columns must fit on 80 characters
