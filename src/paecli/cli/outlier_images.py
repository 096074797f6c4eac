"""`pae ood IMAGES`: images scored and flagged, printed and written."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paecli.cli.console import RichProgress, print_json, print_table, say
from paecli.data.images.listing import find_images
from paecli.model.model import Model
from paecli.model.patches.model import PatchPAE
from paecli.model.requirements import DEFAULT_SCORE
from paecli.outliers.flag_images import FlagReport, ScoredImage, flag_images
from paecli.report.ood_tables import IMAGE_COLUMNS, common_folder, image_row
from paecli.store.runs import load_scorer
from paecli.system.cores import process_index
from paecli.system.csv_text import csv_text
from paecli.system.files import write_atomically
from paecli.system.names import counted, escape_name

if TYPE_CHECKING:
    from paecli.outliers.map_images import ImageMap

LEAST_WHOLE = 10  # images that are expected, above which a fraction of one says nothing
CSV_COLUMNS = ("path", "p_value", "outlier", "score", "log_prob", "reconstruction_error", "spoke")


def flag(
    file: Path,
    images: Sequence[str],
    *,
    missing: Sequence[tuple[Path, str]] = (),
    score: str | None,
    fpr: float,
    fdr: float | None,
    files: tuple[Path | None, Path | None, Path | None],
    maps: Path | None,
    truth: Path | None,
    tiles: bool = False,
    report: Path | None,
    as_json: bool,
) -> tuple[int, int]:
    """Scores images, prints and writes what was asked for.

    `missing` are files of a list that are not there, with the reason.

    Of several processes that torchrun started the first writes.

    Returns:
        How many are flagged, and how many could not be looked at.
    """
    model, _ = load_scorer(file)
    if process_index() > 0 and (maps or truth or tiles or isinstance(model, PatchPAE)):
        return 0, 0  # done image by image, by the first process
    paths = [Path(image) for image in images]
    sink = None
    if maps or truth:
        from paecli.cli.outlier_maps import MapSink  # brings matplotlib and scikit-learn

        sink = MapSink(find_images(paths, leave_out=maps), folder=maps, truth=truth)
    result = _find(model, paths, score=score, fpr=fpr, fdr=fdr, sink=sink, tiles=tiles)
    result = replace(result, unreadable=(*missing, *result.unreadable))
    if process_index() > 0:
        return result.flagged, len(result.unreadable)
    print_flags(result)
    write_files(result, *files)
    located = sink.close() if sink is not None else {}
    if report:
        from paecli.report.ood_plots import write_flags

        say(f"Report: {write_flags(result, report)}")
    if as_json:
        print_json(flag_fields(result) | located)
    return result.flagged, len(result.unreadable)


def _find(
    model: Model | PatchPAE,
    paths: Sequence[Path],
    *,
    score: str | None,
    fpr: float,
    fdr: float | None,
    sink: "Callable[[ImageMap], None] | None",
    tiles: bool,
) -> FlagReport:
    """Flags images by a model of either kind."""
    progress = RichProgress()
    if isinstance(model, PatchPAE):
        from paecli.outliers.flag_photographs import flag_photographs

        return flag_photographs(model, paths, fpr=fpr, fdr=fdr, show=sink, progress=progress)
    if tiles:
        from paecli.outliers.flag_tiles import flag_tiled

        return flag_tiled(
            model, paths, score=score or DEFAULT_SCORE, fpr=fpr, fdr=fdr, progress=progress
        )
    result = flag_images(
        model, paths, score=score or DEFAULT_SCORE, fpr=fpr, fdr=fdr, progress=progress
    )
    if sink is None:
        return result
    from paecli.outliers.residual_maps import with_maps

    return with_maps(model, result, show=sink, progress=progress)


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
        f"if all were in-distribution, about {_count(result.fpr * total)} would be"
        if result.fdr is None
        else f"on average at most {result.fdr:.3g} of the flagged are in-distribution"
    )
    say(f"{result.flagged:,} of {counted(total, 'image')} flagged; {meaning}.")


def _count(expected: float) -> str:
    return f"{expected:,.0f}" if expected >= LEAST_WHOLE else f"{expected:.2g}"


def write_files(
    result: FlagReport, csv_file: Path | None, json_lines: Path | None, picture: Path | None
) -> None:
    """Writes the files that were asked for.

    Raises:
        CheckpointError: one cannot be written.
    """
    rows = [_image_fields(image) for image in result.images]
    if csv_file:
        columns = (
            (*CSV_COLUMNS, "regions") if any("regions" in row for row in rows) else CSV_COLUMNS
        )
        # a cell holds one value: the regions are JSON in it
        cells = ([_as_cell(row.get(column)) for column in columns] for row in rows)
        write_atomically(csv_file, csv_text(columns, cells))
    if json_lines:
        write_atomically(json_lines, "".join(json.dumps(row) + "\n" for row in rows).encode())
    if picture:
        from paecli.report.ood_plots import unusual_picture

        write_atomically(picture, unusual_picture(result))


def flag_fields(result: FlagReport) -> dict[str, Any]:
    """Returns the JSON object of `pae ood IMAGES`."""
    return {
        "images": [_image_fields(image) for image in result.images],
        "unreadable": [
            {"path": escape_name(path), "reason": escape_name(reason)}
            for path, reason in result.unreadable
        ],
        "flagged": result.flagged,
        "score": result.score,
        "fpr": result.fpr if result.fdr is None else None,
        "fdr": result.fdr,
        "normal_images": result.reference_count,
        "seconds": round(result.seconds, 3),
    }


def _as_cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, list | tuple) else value


def _image_fields(image: ScoredImage) -> dict[str, Any]:
    fields = asdict(image) | {"path": escape_name(image.path)}
    for name in ("regions", "spoke"):
        if fields[name] is None:
            del fields[name]
    return fields
