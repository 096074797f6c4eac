"""What `pae ood` prints and writes."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paecli.cli.console import print_table, say
from paecli.report.ood_tables import (
    COMPARISON_COLUMNS,
    IMAGE_COLUMNS,
    common_folder,
    comparison_rows,
    image_row,
)
from paecli.system.files import write_atomically

if TYPE_CHECKING:
    from paecli.outliers.compare_sets import SetComparison, SetResult
    from paecli.outliers.flag_images import FlagReport, ScoredImage

CSV_COLUMNS = ("path", "p_value", "outlier", "score", "log_prob", "reconstruction_error")


def print_comparison(comparison: SetComparison) -> None:
    """Prints the table of sets and scores."""
    normal = comparison.normal.name
    title = f"Against {comparison.normal_count:,} test images of {normal} (± 95 % bootstrap)"
    print_table(title, COMPARISON_COLUMNS, comparison_rows(comparison.results))


def comparison_fields(comparison: SetComparison) -> dict[str, Any]:
    """Returns the JSON object of `pae ood --against`."""
    return {
        "in_distribution": {
            "dataset": comparison.normal.name,
            "images": comparison.normal_count,
            "substitute_for": comparison.normal.substitute_for or None,
        },
        "results": [_result_fields(result) for result in comparison.results],
        "seconds": round(comparison.seconds, 3),
    }


def _result_fields(result: SetResult) -> dict[str, Any]:
    separation = result.separation
    return {
        "dataset": result.dataset,
        "substitute_for": result.substitute_for or None,
        "score": result.score,
        "images": result.images,
        "auroc": separation.auroc,
        "auroc_ci": separation.auroc_ci,
        "aupr": separation.aupr,
        "aupr_ci": separation.aupr_ci,
        "fpr95": separation.fpr95,
        "fpr95_ci": separation.fpr95_ci,
    }


def print_flags(result: FlagReport) -> None:
    """Prints the most unusual images, what could not be read, and how many are flagged."""
    folder = common_folder(result.images)
    rows = [image_row(image, folder) for image in result.unusual]
    print_table("Most unusual images", IMAGE_COLUMNS, rows)
    say(f"The images are in {folder}.")
    for _, message in result.unreadable:
        say(f"Skipped: {message}")
    total = len(result.images)
    meaning = (
        f"if all were normal, about {result.fpr * total:.3g} would be"
        if result.fdr is None
        else f"on average at most {result.fdr:.3g} of the flagged are normal"
    )
    say(f"{result.flagged:,} of {total:,} images flagged; {meaning}.")


def write_files(
    result: FlagReport, csv_file: Path | None, json_lines: Path | None, picture: Path | None
) -> None:
    """Writes the files that were asked for.

    Raises:
        CheckpointError: one cannot be written.
    """
    rows = [_image_fields(image) for image in result.images]
    if csv_file:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, CSV_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(csv_file, text.getvalue().encode())
    if json_lines:
        write_atomically(json_lines, "".join(json.dumps(row) + "\n" for row in rows).encode())
    if picture:
        from paecli.report.ood_plots import unusual_picture

        write_atomically(picture, unusual_picture(result))


def flag_fields(result: FlagReport) -> dict[str, Any]:
    """Returns the JSON object of `pae ood IMAGES`."""
    return {
        "images": [_image_fields(image) for image in result.images],
        "unreadable": [{"path": str(path), "reason": reason} for path, reason in result.unreadable],
        "flagged": result.flagged,
        "score": result.score,
        "fpr": result.fpr if result.fdr is None else None,
        "fdr": result.fdr,
        "normal_images": result.normal_count,
        "seconds": round(result.seconds, 3),
    }


def _image_fields(image: ScoredImage) -> dict[str, Any]:
    return asdict(image) | {"path": str(image.path)}
